#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "cli/manifest.h"
#include "cli/verb.h"

/* All of standard input, as file_read would. */
static enum err_code read_stdin(char **data, size_t *len, struct err *err)
{
    char chunk[16384];
    ssize_t got;
    FILE *all = open_memstream(data, len);
    if (!all)
        return err_set(err, ERR_NO_MEMORY, "no memory for standard input");
    size_t total = 0;
    while ((got = read(STDIN_FILENO, chunk, sizeof chunk)) > 0 &&
           (total += (size_t)got) <= MANIFEST_MAX_BYTES)
        fwrite(chunk, 1, (size_t)got, all);
    bool failed = ferror(all) != 0;
    enum err_code code = ERR_OK;
    if (fclose(all) != 0 || failed || got < 0)
        code = err_set(err, ERR_SYSTEM, "standard input cannot be read");
    else if (total > MANIFEST_MAX_BYTES)
        code = err_set(err, ERR_TOO_LARGE, "standard input is over %d bytes", MANIFEST_MAX_BYTES);
    if (code != ERR_OK)
        free(*data);
    return code;
}

int verb_inject(const struct verb_options *options, struct err *err)
{
    char *text, *out;
    size_t len, out_len;
    if (!options->file) {
        err_set(err, ERR_USAGE, "-f FILE is needed; - is standard input");
        return VERB_USAGE;
    }
    if (settings_check(options->settings, err) != ERR_OK)
        return VERB_USAGE;
    enum err_code code = strcmp(options->file, "-") == 0
                             ? read_stdin(&text, &len, err)
                             : file_read(options->file, MANIFEST_MAX_BYTES, &text, &len, err);
    if (code != ERR_OK)
        return VERB_FAILED;
    code =
        manifest_inject(text, len, options->settings, options->json, stderr, &out, &out_len, err);
    free(text);
    if (code != ERR_OK)
        return VERB_FAILED;
    fwrite(out, 1, out_len, stdout);
    free(out);
    return VERB_DONE;
}
