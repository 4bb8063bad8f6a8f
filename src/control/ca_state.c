#include "control/ca_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"

enum { STATE_FILE_MAX = 64 << 10, STATE_PATH_MAX = 4352 };

const char *const ca_part_names[CA_PARTS] = {"root.pem", "root-key.pem", "issuer.pem",
                                             "issuer-key.pem", "token-key.pem"};

/* Where a first start is prepared, and the file that says that everything is there. */
#define NEW ".new"
#define COMPLETE "complete"

static void forget(char *text)
{
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
}

void ca_parts_free(char *parts[CA_PARTS])
{
    for (int i = 0; i < CA_PARTS; i++) {
        forget(parts[i]);
        parts[i] = NULL;
    }
}

static const char *path_of(const char *folder, int file, char path[STATE_PATH_MAX])
{
    snprintf(path, STATE_PATH_MAX, "%s/%s", folder, ca_part_names[file]);
    return path;
}

/* --- the first start ------------------------------------------------------------------------ */

enum err_code ca_parts_make(char *texts[CA_PARTS], struct err *err)
{
    struct tls_key *root = tls_key_new(), *issuer = tls_key_new(), *token = tls_key_new();
    size_t len;
    enum err_code code =
        root && issuer && token ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for keys");
    if (code == ERR_OK)
        code = ca_make_root(root, "Handfast root", &texts[CA_ROOT], err);
    if (code == ERR_OK)
        code =
            ca_make_issuer(root, texts[CA_ROOT], issuer, "Handfast issuer", &texts[CA_ISSUER], err);
    if (code == ERR_OK)
        code = tls_key_format_pem(root, &texts[CA_ROOT_KEY], &len, err);
    if (code == ERR_OK)
        code = tls_key_format_pem(issuer, &texts[CA_ISSUER_KEY], &len, err);
    if (code == ERR_OK)
        code = tls_key_format_pem(token, &texts[CA_TOKEN_KEY], &len, err);
    tls_key_unref(root);
    tls_key_unref(issuer);
    tls_key_unref(token);
    return code;
}

static const char *new_path(const char *folder, const char *name, char path[STATE_PATH_MAX])
{
    snprintf(path, STATE_PATH_MAX, "%s/" NEW "%s%s", folder, name[0] ? "/" : "", name);
    return path;
}

static enum err_code sync_folder(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = fd < 0 || fsync(fd) < 0 ? errno : 0;
    if (fd >= 0)
        close(fd);
    return failed ? err_sys(err, ERR_SYSTEM, failed, "sync %s", path) : ERR_OK;
}

/* Moves what is still in .new to where it belongs, and .new away. Again after a crash, as often as
 * it takes: `complete` goes last. */
static enum err_code move_in(const char *folder, struct err *err)
{
    char from[STATE_PATH_MAX], to[STATE_PATH_MAX];
    for (int i = 0; i < CA_PARTS; i++) {
        if (rename(new_path(folder, ca_part_names[i], from), path_of(folder, i, to)) < 0 &&
            errno != ENOENT)
            return err_sys(err, ERR_SYSTEM, errno, "move %s to %s", from, to);
    }
    enum err_code code = sync_folder(folder, err);
    if (code != ERR_OK)
        return code;
    unlink(new_path(folder, COMPLETE, from));
    if (rmdir(new_path(folder, "", from)) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "remove %s", from);
    return sync_folder(folder, err);
}

/* After a crash: the first start is finished where it had everything, forgotten where it had not.
 */
static enum err_code recover(const char *folder, struct err *err)
{
    char path[STATE_PATH_MAX];
    if (access(new_path(folder, "", path), F_OK) < 0)
        return ERR_OK;
    if (access(new_path(folder, COMPLETE, path), F_OK) == 0)
        return move_in(folder, err);
    /* Not through a link: what we would empty then is somebody else's. */
    int fd = open(new_path(folder, "", path), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
    if (!dir && fd >= 0)
        close(fd);
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(dirfd(dir), entry->d_name, 0);
    }
    if (dir)
        closedir(dir);
    if (rmdir(path) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "remove %s, left by an unfinished first start",
                       path);
    return ERR_OK;
}

static enum err_code create(const char *folder, struct err *err)
{
    char *texts[CA_PARTS] = {0};
    char path[STATE_PATH_MAX];
    enum err_code code = ca_parts_make(texts, err);
    if (code == ERR_OK && mkdir(new_path(folder, "", path), 0700) < 0)
        code = err_sys(err, ERR_SYSTEM, errno, "make %s", path);
    for (int i = 0; code == ERR_OK && i < CA_PARTS; i++)
        code = file_write_atomic(new_path(folder, ca_part_names[i], path), texts[i],
                                 strlen(texts[i]), 0600, err);
    if (code == ERR_OK)
        code = file_write_atomic(new_path(folder, COMPLETE, path), "", 0, 0600, err);
    if (code == ERR_OK)
        code = move_in(folder, err);
    ca_parts_free(texts);
    return code;
}

/* --- every start ---------------------------------------------------------------------------- */

static enum err_code read_file(const char *folder, int file, char **text, struct err *err)
{
    char path[STATE_PATH_MAX];
    struct stat about;
    size_t len;
    path_of(folder, file, path);
    if (stat(path, &about) < 0)
        return err_sys(err, ERR_CA_STATE, errno,
                       "%s is missing, but other files of the state are there; restore it, or move "
                       "the folder away to start anew",
                       path);
    if (about.st_mode & 077 && file != CA_ROOT && file != CA_ISSUER)
        return err_set(
            err, ERR_CA_STATE,
            "%s holds a private key and has mode %03o, so that others can read it; expected "
            "600",
            path, (unsigned)about.st_mode & 0777);
    if (about.st_uid != geteuid() && about.st_uid != 0)
        return err_set(err, ERR_CA_STATE, "%s belongs to uid %u, expected uid %u", path,
                       (unsigned)about.st_uid, (unsigned)geteuid());
    enum err_code code = file_read(path, STATE_FILE_MAX, text, &len, err);
    if (code == ERR_OK && strlen(*text) != len)
        code = err_set(err, ERR_CA_STATE, "%s is not PEM text", path);
    return code;
}

/* The root's key is not needed until the issuer is renewed, years from now; a wrong one is better
 * found today. */
static enum err_code check_root_key(const struct ca_state *state, const char *root_pem,
                                    struct err *err)
{
    char *trial = NULL;
    enum err_code code = ca_make_issuer(state->root_key, root_pem, state->issuer_key,
                                        "Handfast issuer", &trial, err);
    free(trial);
    return code;
}

static enum err_code parse_key(struct tls_key **key, const char *text, struct err *err)
{
    return text ? tls_key_parse_pem(key, text, strlen(text), err) : ERR_OK;
}

static enum err_code parse(struct ca_state *state, char *const texts[CA_PARTS], struct err *err)
{
    enum err_code code = parse_key(&state->root_key, texts[CA_ROOT_KEY], err);
    if (code == ERR_OK)
        code = parse_key(&state->issuer_key, texts[CA_ISSUER_KEY], err);
    if (code == ERR_OK)
        code = parse_key(&state->token_key, texts[CA_TOKEN_KEY], err);
    if (code == ERR_OK)
        code = ca_new(&state->ca, state->issuer_key, texts[CA_ISSUER], texts[CA_ROOT], err);
    if (code == ERR_OK && state->root_key)
        code = check_root_key(state, texts[CA_ROOT], err);
    if (code != ERR_OK || !state->token_key)
        return code;
    state->token_public_key = signature_key_of(state->token_key);
    return state->token_public_key ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for a key");
}

enum err_code ca_state_adopt(struct ca_state *state, char *const parts[CA_PARTS], struct err *err)
{
    struct ca_state next = {.lock_fd = -1};
    static const enum ca_part needed[] = {CA_ROOT, CA_ISSUER, CA_ISSUER_KEY};
    for (unsigned i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (!parts[needed[i]])
            return err_set(err, ERR_CA_STATE, "the part %s is missing", ca_part_names[needed[i]]);
    }
    enum err_code code = parse(&next, parts, err);
    if (code != ERR_OK) {
        ca_state_close(&next);
        return code;
    }
    if (state->ca)
        ca_state_close(state);
    *state = next;
    return ERR_OK;
}

static bool is_fresh(const char *folder)
{
    char path[STATE_PATH_MAX];
    for (int i = 0; i < CA_PARTS; i++) {
        if (access(path_of(folder, i, path), F_OK) == 0)
            return false;
    }
    return true;
}

/* Nothing is there but what a mount point has. What a first start of ours leaves is in a folder
 * that it has closed to others. */
static bool is_unused(const char *folder)
{
    DIR *dir = opendir(folder);
    bool unused = dir != NULL;
    for (struct dirent *entry; dir && (entry = readdir(dir));) {
        const char *name = entry->d_name;
        unused = unused && (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
                            strcmp(name, "lost+found") == 0);
    }
    if (dir)
        closedir(dir);
    return unused;
}

/* Opens and locks the folder, made if it is not there. */
static enum err_code lock(struct ca_state *state, struct err *err)
{
    struct stat about;
    if (mkdir(state->folder, 0700) < 0 && errno != EEXIST)
        return err_sys(err, ERR_SYSTEM, errno, "make the folder");
    state->lock_fd = open(state->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (state->lock_fd < 0 || fstat(state->lock_fd, &about) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "open the folder");
    if (flock(state->lock_fd, LOCK_EX | LOCK_NB) < 0)
        return err_set(err, ERR_BUSY, "another process is at work on it");
    if (about.st_uid != geteuid() && about.st_uid != 0)
        return err_set(err, ERR_CA_STATE,
                       "the folder belongs to uid %u, who could put other keys in it; expected "
                       "uid %u",
                       (unsigned)about.st_uid, (unsigned)geteuid());
    bool fresh = is_fresh(state->folder);
    /* /etc by mistake must not become a folder that only we can enter. */
    if (fresh && about.st_mode & 077 && !is_unused(state->folder))
        return err_set(err, ERR_CA_STATE,
                       "the folder has mode %03o and holds files of somebody else; expected an "
                       "empty one, or mode 700",
                       (unsigned)about.st_mode & 0777);
    if (fresh && fchmod(state->lock_fd, 0700) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "set the folder's mode");
    if (!fresh && about.st_mode & 077)
        return err_set(err, ERR_CA_STATE,
                       "the folder has mode %03o, so that others can look in; expected 700",
                       (unsigned)about.st_mode & 0777);
    return ERR_OK;
}

enum err_code ca_state_open(struct ca_state *state, const char *folder, struct err *err)
{
    char *texts[CA_PARTS] = {0};
    *state = (struct ca_state){.lock_fd = -1};
    if (snprintf(state->folder, sizeof state->folder, "%s", folder) >=
        (int)sizeof state->folder - 32)
        return err_set(err, ERR_CA_STATE, "the path of the state folder is too long");
    for (size_t len = strlen(state->folder); len > 1 && state->folder[len - 1] == '/'; len--)
        state->folder[len - 1] = 0;
    enum err_code code = lock(state, err);
    if (code == ERR_OK)
        code = recover(state->folder, err);
    if (code == ERR_OK && is_fresh(state->folder))
        code = create(state->folder, err);
    for (int i = 0; code == ERR_OK && i < CA_PARTS; i++)
        code = read_file(state->folder, i, &texts[i], err);
    if (code == ERR_OK)
        code = parse(state, texts, err);
    ca_parts_free(texts);
    if (code != ERR_OK) {
        err_wrap(err, "state folder %s", state->folder);
        ca_state_close(state);
    }
    return code;
}

void ca_state_close(struct ca_state *state)
{
    ca_unref(state->ca);
    tls_key_unref(state->root_key);
    tls_key_unref(state->issuer_key);
    tls_key_unref(state->token_key);
    if (state->token_public_key)
        signature_key_unref(state->token_public_key);
    if (state->lock_fd >= 0)
        close(state->lock_fd);
    *state = (struct ca_state){.lock_fd = -1};
}

enum err_code ca_state_issuer_if_due(const struct ca_state *state, char **pem, struct err *err)
{
    struct cert_info info;
    const char *now = ca_issuer_pem(state->ca);
    *pem = NULL;
    enum err_code code = cert_info_parse(&info, now, strlen(now), err);
    if (code != ERR_OK)
        return code;
    int64_t life_s = info.not_after_s - info.not_before_s;
    if (!state->root_key || clock_wall_s() < info.not_before_s + life_s / 3 * 2)
        return ERR_OK;
    code = ca_make_issuer(state->root_key, ca_root_pem(state->ca), state->issuer_key,
                          "Handfast issuer", pem, err);
    return code == ERR_OK ? code : err_wrap(err, "renewal of the issuing certificate");
}

enum err_code ca_state_renew_if_due(struct ca_state *state, bool *renewed, struct err *err)
{
    char *issuer = NULL, path[STATE_PATH_MAX];
    struct ca *ca = NULL;
    *renewed = false;
    enum err_code code = ca_state_issuer_if_due(state, &issuer, err);
    if (code != ERR_OK || !issuer)
        return code;
    code = ca_new(&ca, state->issuer_key, issuer, ca_root_pem(state->ca), err);
    if (code == ERR_OK)
        code = file_write_atomic(path_of(state->folder, CA_ISSUER, path), issuer, strlen(issuer),
                                 0600, err);
    free(issuer);
    if (code != ERR_OK) {
        if (ca)
            ca_unref(ca);
        return err_wrap(err, "renewal of the issuing certificate");
    }
    ca_unref(state->ca);
    state->ca = ca;
    *renewed = true;
    return ERR_OK;
}
