/* A reflector that writes down what it is told: "+a/x@1 +a/x@2 -a/x synced absent". */
#ifndef FOLLOWER_H
#define FOLLOWER_H

#include "bed.h"
#include "kube/reflector.h"

enum { FOLLOWER_STORY_MAX = 4096 };
struct follower {
    struct bed *bed;
    struct kube_reflector *reflector;
    char story[FOLLOWER_STORY_MAX];
    unsigned objects, gone, synced, absent, managed;
    bool close_at_object; /* closes itself inside on_object */
};
void follower_start(struct follower *follower, struct bed *bed, const char *path);
void follower_stop(struct follower *follower);
/* Waits until the story is this; prints both when it does not become so. */
bool follower_tells(struct follower *follower, const char *story);
void follower_clear(struct follower *follower);

#endif
