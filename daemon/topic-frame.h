/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * What was published, as a frame that all readers share
 *
 * Frames of one topic that follow each other stand in one page, so that a queue refers once to all that it
 * gets of them. A page that nobody has any more is filled anew. Who keeps a page for the sake of one frame
 * keeps the others, which it does not pay for: so pages are small and of one topic, end when there are
 * other readers, or one of them misses a frame, and who missed one gets copies of what follows in that
 * page. A large frame has a page of its own, and so has a lonely one.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "libcore/stream.h"
#include "libcore/topic.h"

#define TOPIC_PAGE_MAX 8192 /* bytes, unless a single frame is larger */

typedef struct TopicFrame {
        StreamShared *page; /* with a reference */
        uint8_t *data;      /* in there */
        size_t size;
} TopicFrame;

/* The page that the next frame may go to. */
typedef struct TopicPages {
        StreamShared *page; /* or NULL */
        uint64_t number;    /* of what may be in there together; each time another */
        size_t n_topic;     /* 0: no frame may go behind the last */
        char topic[TOPIC_SIZE_MAX];
} TopicPages;

/* What a reader has of pages, by their numbers. */
typedef struct TopicHolder {
        uint64_t held;   /* the last that it refers to */
        uint64_t missed; /* the last of which it does not have all */
} TopicHolder;

/* Room for a frame that is filled in now. Return: 0 or -ENOMEM. */
int topic_frame_new(TopicPages *pages, const char *topic, size_t n_topic, size_t size,
                    TopicFrame *ret);
/* The same for one that is kept for long: it is alone in its page. */
int topic_frame_new_alone(size_t size, TopicFrame *ret);
TopicFrame topic_frame_ref(const TopicFrame *frame);
/* Accepts one that is all zero, and makes it so. */
void topic_frame_done(TopicFrame *frame);
/* Whether the reader may refer to the frame, as it does then; else it gets a copy. */
bool topic_frame_is_to_share(const TopicPages *pages, const TopicFrame *frame, TopicHolder *holder);
/* It does not get the frame. */
void topic_frame_missed(TopicPages *pages, const TopicFrame *frame, TopicHolder *holder);
/* From now on there may be other readers. */
void topic_pages_turn(TopicPages *pages);
void topic_pages_done(TopicPages *pages);
