/* SPDX-License-Identifier: Apache-2.0 */

/* Whatever is accepted holds printable bytes only, and can be put into a request as it is. */

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "libcore/url.h"
#include "tests/fuzz/fuzz.h"

static void assert_plain(const char *text, size_t n_max) {
        assert(strlen(text) <= n_max);
        for (; *text; text++)
                assert(*text > ' ' && *text <= '~');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_data) {
        struct sockaddr_storage address;
        char written[WS_ADDRESS_TEXT_SIZE];
        socklen_t size;
        char *text;
        WsUrl url;

        text = malloc(n_data + 1);
        if (!text)
                return 0;
        if (n_data > 0)
                memcpy(text, data, n_data);
        text[n_data] = '\0';

        if (ws_url_parse(text, &url) == 0) {
                assert_plain(url.host, WS_URL_HOST_MAX);
                assert_plain(url.path, WS_URL_PATH_MAX);
                assert_plain(url.fragment, WS_URL_FRAGMENT_MAX);
                assert(url.host[0] != '\0' && url.path[0] == '/' && url.port != 0);
        }
        if (ws_address_parse(text, &address, &size) == 0) {
                (void)ws_address_format((struct sockaddr *)&address, written);
                assert(ws_address_parse(written, &address, &size) == 0);
        }
        free(text);
        return 0;
}
