/* SPDX-License-Identifier: Apache-2.0 */

#include "config.h"

#include "tools/options.h"

#include <stdio.h>

#include "tools/common.h"
#include "tools/output.h"

static const char *from_environment(const char *name) {
        const char *value = getenv(name);

        return value && *value ? value : NULL;
}

void options_init(Options *options) {
        *options = (Options){
                .socket = from_environment("P2PBUS_SOCKET"),
                .key = from_environment("P2PBUS_KEY"),
        };
}

/* What a user wrote, as getopt_long() saw it: a letter, or the long one it just stepped over. */
static const char *option_name(char *const *argv, char letter[static 3]) {
        if (optopt > 0 && optopt < 0x100) {
                letter[0] = '-';
                letter[1] = (char)optopt;
                letter[2] = '\0';
                return letter;
        }
        return argv[optind - 1];
}

int options_take(Options *options, int c, char *const *argv, const char *help) {
        char letter[3];

        switch (c) {
        case 'S':
                options->socket = optarg;
                return -1;
        case 'k':
                options->key = optarg;
                return -1;
        case OPTION_JSON:
                options->json = true;
                return -1;
        case OPTION_LOCAL:
                options->local = true;
                return -1;
        case 'v':
                common_louder();
                return -1;
        case 'q':
                common_quiet();
                return -1;
        case 'h':
                return output_print(strdup(help), strlen(help));
        case 'V': {
                char version[128];

                (void)snprintf(version, sizeof(version), "%s (p2pbus) %s\n", common_program(),
                               PACKAGE_VERSION);
                return output_print(strdup(version), strlen(version));
        }
        case ':':
                return fail(STATUS_USAGE, "%s: needs a value; see %s --help",
                            option_name(argv, letter), common_program());
        default:
                return fail(STATUS_USAGE, "%s: no such option; see %s --help",
                            option_name(argv, letter), common_program());
        }
}
