/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/topic-frame.h"

#include "libcore/err.h"

static int take(StreamShared *page, size_t size, TopicFrame *ret) {
        uint8_t *data = stream_shared_add(page, size);

        if (!data)
                return -ENOSPC;
        page->n_refs++;
        *ret = (TopicFrame){ page, data, size };
        return 0;
}

/* The page that a frame on @topic may go to, if there is room; or NULL. */
static StreamShared *page_for(TopicPages *pages, const char *topic, size_t n_topic) {
        StreamShared *page = pages->page;

        if (page && page->n_refs == 1 && page->room <= TOPIC_PAGE_MAX) {
                stream_shared_clear(page);
                pages->number++;
                return page;
        }
        return n_topic == pages->n_topic && memcmp(topic, pages->topic, n_topic) == 0 ? page : NULL;
}

int topic_frame_new(TopicPages *pages, const char *topic, size_t n_topic, size_t size,
                    TopicFrame *ret) {
        StreamShared *page = page_for(pages, topic, n_topic);
        size_t room = size;

        pages->n_topic = 0;
        if (!page || take(page, size, ret) < 0) {
                /* Twice as large each time: what is published once needs no room for more. */
                if (page)
                        room = MAX(size, MIN((size_t)page->room * 2, (size_t)TOPIC_PAGE_MAX));
                page = stream_shared_new(room);
                if (!page)
                        return err_origin(-ENOMEM);
                (void)take(page, size, ret);
                stream_shared_unref(pages->page);
                pages->page = page;
                pages->number++;
        }
        memcpy(pages->topic, topic, n_topic);
        pages->n_topic = n_topic;
        return 0;
}

int topic_frame_new_alone(size_t size, TopicFrame *ret) {
        StreamShared *page = stream_shared_new(size);

        if (!page)
                return err_origin(-ENOMEM);
        *ret = (TopicFrame){ page, stream_shared_add(page, size), size };
        return 0;
}

TopicFrame topic_frame_ref(const TopicFrame *frame) {
        frame->page->n_refs++;
        return *frame;
}

void topic_frame_done(TopicFrame *frame) {
        stream_shared_unref(frame->page);
        *frame = (TopicFrame){ .page = NULL };
}

bool topic_frame_is_to_share(const TopicPages *pages, const TopicFrame *frame,
                             TopicHolder *holder) {
        if (frame->page != pages->page) /* alone */
                return true;
        if (holder->missed == pages->number)
                return false;
        holder->held = pages->number;
        return true;
}

void topic_frame_missed(TopicPages *pages, const TopicFrame *frame, TopicHolder *holder) {
        if (frame->page != pages->page)
                return;
        holder->missed = pages->number;
        if (holder->held == pages->number)
                topic_pages_turn(pages);
}

void topic_pages_turn(TopicPages *pages) {
        pages->n_topic = 0;
        pages->number++;
}

void topic_pages_done(TopicPages *pages) {
        pages->page = stream_shared_unref(pages->page);
}
