/* SPDX-License-Identifier: Apache-2.0 */

#pragma once

/*
 * Patterns as a tree, an element a step
 *
 * A topic walks down all branches that fit it, so that its cost is that of the patterns that have its
 * beginning, not of all. A leaf is one pattern of one owner, embedded in what the owner has for it; a node
 * lives as long as it has leaves or children.
 */

#include <stdbool.h>
#include <stddef.h>
#include <uthash.h>

#include "libcore/topic.h"

typedef struct TopicNode TopicNode;
typedef struct TopicLeaf TopicLeaf;

struct TopicLeaf {
        TopicNode *node;
        bool with_rest; /* the pattern goes on with ">" */
        TopicLeaf *prev, *next;
};

/* The elements from the root down to here are the pattern, without a ">" at its end. */
struct TopicNode {
        UT_hash_handle hh; /* in the parent's children, by @element */
        TopicNode *parent;
        TopicNode *children;
        TopicLeaf *leaves;
        size_t n_element;
        char element[];
};

typedef struct TopicTree {
        TopicNode *root; /* NULL: no leaves */
} TopicTree;

/* The node of @pattern, made if need be, and whether a ">" stands behind it. NULL: no memory. */
TopicNode *topic_tree_get(TopicTree *tree, const char *pattern, size_t n_pattern, bool *ret_rest);
/* Frees @node, and all above it, as far as nobody needs them. */
void topic_tree_prune(TopicTree *tree, TopicNode *node);
void topic_tree_add(TopicNode *node, bool with_rest, TopicLeaf *leaf);
void topic_tree_remove(TopicTree *tree, TopicLeaf *leaf);
/* The pattern that @leaf stands for, with a NUL; returns its size. */
size_t topic_leaf_pattern(const TopicLeaf *leaf, char out[static TOPIC_SIZE_MAX + 1]);

/*
 * Calls @on_leaf for each whose pattern fits @topic; it may remove that leaf. With @is_own "*" and ">" do
 * not stand for the first element.
 */
void topic_tree_walk(const TopicTree *tree, const char *topic, size_t n_topic, bool is_own,
                     void (*on_leaf)(TopicLeaf *leaf, void *userdata), void *userdata);
