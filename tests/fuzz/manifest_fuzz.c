/* `handfast inject`: what comes out is a manifest again, in which nothing is left to inject. */
#include "cli/manifest.h"
#include "fuzz.h"

static enum err_code inject(const char *text, size_t len, char **out, size_t *out_len)
{
    struct settings settings;
    struct err err = {0};
    FILE *notes = fopen("/dev/null", "w");
    CLAIM(notes && settings_init(&settings, NULL) == ERR_OK &&
          settings_check(&settings, NULL) == ERR_OK);
    enum err_code code = manifest_inject(text, len, &settings, false, notes, out, out_len, &err);
    CLAIM(code == ERR_OK || err.text[0]);
    settings_deinit(&settings);
    fclose(notes);
    return code;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char *once = NULL, *twice = NULL;
    size_t once_len = 0, twice_len = 0;
    if (memchr(data, 0, len)) /* the caller has refused it */
        return 0;
    if (inject((const char *)data, len, &once, &once_len) == ERR_OK) {
        CLAIM(inject(once, once_len, &twice, &twice_len) == ERR_OK);
        CLAIM(twice_len == once_len && memcmp(once, twice, once_len) == 0);
    }
    free(once);
    free(twice);
    return 0;
}
