/* SPDX-License-Identifier: Apache-2.0 */

#define HASH_NONFATAL_OOM 1

#include "libcore/topic-tree.h"

#include <stdlib.h>
#include <string.h>
#include <utlist.h>

#define FEW_CHILDREN 8

/* A hash of the element costs more than a look at a few. */
static TopicNode *child_of(const TopicNode *node, const char *element, size_t n) {
        TopicNode *child;

        if (HASH_COUNT(node->children) > FEW_CHILDREN) {
                HASH_FIND(hh, node->children, element, n, child);
                return child;
        }
        for (child = node->children; child; child = child->hh.next)
                if (child->n_element == n && memcmp(child->element, element, n) == 0)
                        break;
        return child;
}

static TopicNode *node_new(TopicNode *parent, const char *element, size_t n) {
        TopicNode *node = calloc(1, sizeof(*node) + n);

        if (!node)
                return NULL;
        node->parent = parent;
        node->n_element = n;
        if (!parent)
                return node;
        memcpy(node->element, element, n);
        HASH_ADD_KEYPTR(hh, parent->children, node->element, n, node);
        if (!node->hh.tbl) {
                free(node);
                return NULL;
        }
        return node;
}

void topic_tree_prune(TopicTree *tree, TopicNode *node) {
        while (node && !node->children && !node->leaves) {
                TopicNode *parent = node->parent;

                if (parent)
                        HASH_DELETE(hh, parent->children, node);
                else
                        tree->root = NULL;
                free(node);
                node = parent;
        }
}

TopicNode *topic_tree_get(TopicTree *tree, const char *pattern, size_t n_pattern, bool *ret_rest) {
        TopicNode *node = tree->root, *next;

        if (!node)
                node = tree->root = node_new(NULL, NULL, 0);
        *ret_rest = false;
        while (node && n_pattern > 0) {
                size_t n = topic_element(pattern, n_pattern);

                if (n == 1 && pattern[0] == '>') {
                        *ret_rest = true;
                        break;
                }
                next = child_of(node, pattern, n);
                if (!next)
                        next = node_new(node, pattern, n);
                if (!next) {
                        topic_tree_prune(tree, node);
                        return NULL;
                }
                node = next;
                n += n < n_pattern;
                pattern += n;
                n_pattern -= n;
        }
        return node;
}

void topic_tree_add(TopicNode *node, bool with_rest, TopicLeaf *leaf) {
        leaf->node = node;
        leaf->with_rest = with_rest;
        DL_APPEND(node->leaves, leaf);
}

void topic_tree_remove(TopicTree *tree, TopicLeaf *leaf) {
        DL_DELETE(leaf->node->leaves, leaf);
        topic_tree_prune(tree, leaf->node);
        leaf->node = NULL;
}

/* From the end to the beginning, and then to the front. */
size_t topic_leaf_pattern(const TopicLeaf *leaf, char out[static TOPIC_SIZE_MAX + 1]) {
        size_t at = TOPIC_SIZE_MAX, n;

        if (leaf->with_rest)
                out[--at] = '>';
        for (const TopicNode *node = leaf->node; node->parent; node = node->parent) {
                if (at < TOPIC_SIZE_MAX)
                        out[--at] = '.';
                at -= node->n_element;
                memcpy(out + at, node->element, node->n_element);
        }
        n = TOPIC_SIZE_MAX - at;
        memmove(out, out + at, n);
        out[n] = '\0';
        return n;
}

typedef struct Walk {
        void (*on_leaf)(TopicLeaf *leaf, void *userdata);
        void *userdata;
} Walk;

static void give(const Walk *w, const TopicNode *node, bool with_rest) {
        TopicLeaf *leaf, *next;

        DL_FOREACH_SAFE (node->leaves, leaf, next)
                if (leaf->with_rest == with_rest)
                        w->on_leaf(leaf, w->userdata);
}

/* @topic: what of it is below @node. At most TOPIC_ELEMENTS_MAX deep. */
static void walk(const Walk *w, const TopicNode *node, const char *topic, size_t n_topic) {
        const TopicNode *child;
        size_t n;

        if (n_topic == 0) {
                give(w, node, false);
                return;
        }
        give(w, node, true);
        n = topic_element(topic, n_topic);
        for (unsigned is_wild = 0; is_wild < 2; is_wild++) {
                size_t n_behind = n + (n < n_topic);

                child = is_wild ? child_of(node, "*", 1) : child_of(node, topic, n);
                if (child)
                        walk(w, child, topic + n_behind, n_topic - n_behind);
        }
}

void topic_tree_walk(const TopicTree *tree, const char *topic, size_t n_topic, bool is_own,
                     void (*on_leaf)(TopicLeaf *leaf, void *userdata), void *userdata) {
        const Walk w = { on_leaf, userdata };
        const TopicNode *node = tree->root;
        size_t n = topic_element(topic, n_topic);

        if (!node)
                return;
        if (!is_own)
                walk(&w, node, topic, n_topic);
        else if ((node = child_of(node, topic, n)) && n < n_topic)
                walk(&w, node, topic + n + 1, n_topic - n - 1);
}
