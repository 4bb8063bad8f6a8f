/* A proxy of cardboard: the real HTTP server on a Unix socket, with fixed documents behind it; and
 * the command line, run with its output caught. */
#ifndef STAGE_H
#define STAGE_H

#include <stdbool.h>

/* Documents that tests may replace before they ask; borrowed. */
struct stage {
    const char *status, *certs, *connections, *config, *version;
    char level[16];       /* what PUT /log-level set */
    char limit[16];       /* what GET /connections was asked for */
    unsigned drains;      /* how often POST /drain came */
    unsigned refuse_with; /* 0, or the status of an error that every question gets */
};

extern struct stage stage;
extern char stage_socket[128]; /* the socket's path */

/* Wall clock of the tests: 2026-11-24T12:00:00Z; everything in `stage` as it was. */
void stage_open(void);
void stage_close(void);

/* What a command printed and how it ended. */
struct outcome {
    int status;
    char *out, *err;
};

/* Runs `handfast` with these words (the last NULL). Free with outcome_free. */
struct outcome stage_run(const char *const *words);
void outcome_free(struct outcome *outcome);

/* Shorthand: HANDFAST("status", "--json") with the stage's socket in the environment. */
#define HANDFAST(...) stage_run((const char *const[]){__VA_ARGS__, NULL})

/* True when `text` has `part`; prints both when not. */
bool stage_has(const char *text, const char *part);

#endif
