#include "proxy/door.h"

#include <string.h>
#include <sys/random.h>

void door_init(struct door *door, int places)
{
    *door = (struct door){.places = places < DOOR_PLACES_MAX ? places : DOOR_PLACES_MAX};
    /* Without it the buckets can be guessed, and work. */
    if (getrandom(&door->secret, sizeof door->secret, GRND_NONBLOCK) < 0)
        door->secret = (uintptr_t)door;
}

/* The finalizer of splitmix64. */
static uint64_t mix(uint64_t z)
{
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static unsigned bucket_of(const struct door *door, const struct addr *source, bool mesh)
{
    uint64_t words[2] = {0};
    /* Whoever owns an IPv6 address owns its /64; only the mesh knows single ones. */
    size_t len = source->len == 16 && !mesh ? 8 : source->len;
    memcpy(words, source->bytes, len);
    return (unsigned)(mix(mix(door->secret ^ words[0]) ^ words[1] ^ len) % DOOR_BUCKETS);
}

uint16_t door_enter(struct door *door, const struct addr *source, bool mesh, int room,
                    struct err *err)
{
    char from[ADDR_TEXT_MAX];
    unsigned bucket = bucket_of(door, source, mesh);
    int own = door->counts[mesh][bucket], reserve = mesh ? 0 : door->places / 4;
    int rest = door->places - door->count - 1;
    if (own > (rest < room ? rest : room) - reserve) {
        err_set(err, ERR_CONN_UNPROVEN,
                "%d connections have not proven yet who they are, of at most %d, and %d of them "
                "are from %s%s",
                door->count, door->places, own, addr_format(source, from),
                mesh ? "" : ", which is not of the mesh");
        return 0;
    }
    door->count++;
    door->counts[mesh][bucket]++;
    return (uint16_t)(1 + mesh * DOOR_BUCKETS + (int)bucket);
}

void door_leave(struct door *door, uint16_t place)
{
    door->count--;
    door->counts[(place - 1) / DOOR_BUCKETS][(place - 1) % DOOR_BUCKETS]--;
}
