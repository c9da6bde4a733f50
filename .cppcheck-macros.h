/* SPDX-License-Identifier: Apache-2.0 */

/* What the loops of uthash and utlist are, for cppcheck, which does not read those headers. */

#define HASH_ITER(hh, head, el, tmp)                                                               \
        for ((el) = (head); (el) && ((tmp) = (el)->hh.next, 1); (el) = (tmp))
#define DL_FOREACH(head, el) for ((el) = (head); (el); (el) = (el)->next)
#define DL_FOREACH_SAFE(head, el, tmp)                                                             \
        for ((el) = (head); (el) && ((tmp) = (el)->next, 1); (el) = (tmp))
#define LL_FOREACH(head, el) DL_FOREACH(head, el)
#define LL_FOREACH_SAFE(head, el, tmp) DL_FOREACH_SAFE(head, el, tmp)
#define DL_FOREACH2(head, el, next) for ((el) = (head); (el); (el) = (el)->next)
#define DL_FOREACH_SAFE2(head, el, tmp, next)                                                      \
        for ((el) = (head); (el) && ((tmp) = (el)->next, 1); (el) = (tmp))
#define LL_FOREACH2(head, el, next) DL_FOREACH2(head, el, next)
#define LL_FOREACH_SAFE2(head, el, tmp, next) DL_FOREACH_SAFE2(head, el, tmp, next)
