/* Inputs made of inputs: bytes of the wire, and the frames in them. */
#ifndef MUTATE_H
#define MUTATE_H

#include <stddef.h>
#include <stdint.h>

#define INPUT_ROOM 2048u

typedef struct {
    size_t count;
    uint8_t bytes[INPUT_ROOM];
} input_t;

void chance_seed(uint64_t seed);

/* 0 .. below - 1, by chance and repeatably. */
uint32_t chance(uint32_t below);

/* Change `input` a few times; `other` may lend it bytes. */
void mutate(input_t *input, const input_t *other);

#endif
