/*
 * Answers in capitals: a function in C, with libc and nothing else.
 *
 * The event comes on stdin, the answer goes to stdout, the log to stderr. Exit code 0 means that
 * there is an answer; another one comes with a JSON object that has `errorMessage`.
 *
 * Takes the body of an HTTP event, the `text` of a direct event, or an event that is a string, and
 * answers in kind. Only ASCII letters have capitals here. The text of a JSON string is never
 * unescaped: capitals do not change what an escape means as long as the escape itself stays.
 *
 *     zig cc --target=wasm32-wasi -Oz -s -Wl,-z,stack-size=65536 -o shout-c.wasm main.c
 */

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    /* Room that is made at first, 16 KiB. */
    EVENT_BYTES_USUAL = 16 * 1024,
    /* The largest event that the platform delivers, 6 MiB. */
    EVENT_BYTES_MAX = 6 * 1024 * 1024,
};

/* Part of the event: a whole JSON value, or the inside of a string. `start` is NULL if absent. */
struct slice {
    const char *start;
    size_t length;
};

/* What is of interest at the top of an event. */
struct event {
    struct slice request_context;
    struct slice body;
    struct slice is_base64;
    struct slice text;
};

static int fail(const char *reason) {
    printf("{\"errorType\":\"BadEvent\",\"errorMessage\":\"%s\"}\n", reason);
    return EXIT_FAILURE;
}

/* Reads all of stdin into a new buffer, with a NUL behind it. NULL if it is too large. */
static char *read_event(size_t *length) {
    size_t room = EVENT_BYTES_USUAL;
    char *event = NULL;
    *length = 0;
    for (;;) {
        char *larger = realloc(event, room + 1);
        if (larger == NULL) break;
        event = larger;
        *length += fread(event + *length, 1, room - *length, stdin);
        if (ferror(stdin) || *length > EVENT_BYTES_MAX) break;
        if (*length < room) {
            event[*length] = '\0';
            return event;
        }
        room *= 2;
    }
    free(event);
    return NULL;
}

/*
 * The scanner. Each function takes a position and returns the one behind what it read, or NULL if
 * there is something else. The NUL behind the event belongs to no token, so nothing runs past it.
 */

static const char *skip_space(const char *at) {
    return at + strspn(at, " \t\r\n");
}

static const char *skip_string(const char *at) {
    if (*at != '"') return NULL;
    for (at++; *at != '"'; at++) {
        if (*at == '\\') at++;
        if ((unsigned char)*at < ' ') return NULL;
    }
    return at + 1;
}

/* Skips a value by counting brackets: enough to find its end, not to judge what is inside. */
static const char *skip_value(const char *at) {
    size_t depth = 0;
    do {
        at = skip_space(at);
        switch (*at) {
        case '\0':
            return NULL;
        case '"':
            at = skip_string(at);
            if (at == NULL) return NULL;
            break;
        case '{':
        case '[':
            depth++;
            at++;
            break;
        case '}':
        case ']':
            if (depth == 0) return NULL;
            depth--;
            at++;
            break;
        case ',':
        case ':':
            if (depth == 0) return NULL;
            at++;
            break;
        default:
            at += strcspn(at, ",:]}[{\" \t\r\n");
        }
    } while (depth > 0);
    return at;
}

static bool is(struct slice slice, const char *text) {
    return slice.length == strlen(text) && memcmp(slice.start, text, slice.length) == 0;
}

/* Finds the members of interest in an object that is the whole event. */
static bool scan_object(const char *at, struct event *event) {
    at = skip_space(at + 1);
    if (*at == '}') return *skip_space(at + 1) == '\0';
    for (;;) {
        const char *key = skip_space(at);
        const char *after_key = skip_string(key);
        if (after_key == NULL) return false;
        at = skip_space(after_key);
        if (*at != ':') return false;
        const char *value = skip_space(at + 1);
        at = skip_value(value);
        if (at == NULL) return false;

        struct slice name = {key + 1, (size_t)(after_key - key) - 2};
        struct slice found = {value, (size_t)(at - value)};
        if (is(name, "requestContext")) event->request_context = found;
        if (is(name, "body")) event->body = found;
        if (is(name, "isBase64Encoded")) event->is_base64 = found;
        if (is(name, "text")) event->text = found;

        at = skip_space(at);
        if (*at == '}') return *skip_space(at + 1) == '\0';
        if (*at != ',') return false;
        at++;
    }
}

/* The inside of a value that is a string. */
static bool inside(struct slice value, struct slice *text) {
    if (value.start == NULL || *value.start != '"') return false;
    *text = (struct slice){value.start + 1, value.length - 2};
    return true;
}

static char capital(char letter) {
    return letter >= 'a' && letter <= 'z' ? (char)(letter - 'a' + 'A') : letter;
}

/* Writes the inside of a JSON string in capitals; what follows a backslash stays. */
static void shout_escaped(struct slice text) {
    for (size_t i = 0; i < text.length; i++) {
        putchar(capital(text.start[i]));
        if (text.start[i] == '\\' && i + 1 < text.length) putchar(text.start[++i]);
    }
}

/* Writes plain bytes in capitals as the inside of a JSON string. */
static void shout_plain(const unsigned char *bytes, size_t length) {
    for (size_t i = 0; i < length; i++) {
        if (bytes[i] == '"' || bytes[i] == '\\') {
            printf("\\%c", bytes[i]);
        } else if (bytes[i] < ' ') {
            printf("\\u%04x", bytes[i]);
        } else {
            putchar(capital((char)bytes[i]));
        }
    }
}

static int base64_digit(char digit) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *found = digit == '\0' ? NULL : strchr(digits, digit);
    return found == NULL ? -1 : (int)(found - digits);
}

/* Decodes base64 into `bytes`, which must have room for three bytes per four digits. */
static bool decode_base64(struct slice text, unsigned char *bytes, size_t *length) {
    unsigned bits = 0, held = 0;
    while (text.length > 0 && text.start[text.length - 1] == '=') text.length--;
    *length = 0;
    for (size_t i = 0; i < text.length; i++) {
        /* JSON may write a slash as backslash and slash. */
        if (text.start[i] == '\\' && i + 1 < text.length && text.start[i + 1] == '/') continue;
        int digit = base64_digit(text.start[i]);
        if (digit < 0) return false;
        bits = bits << 6 | (unsigned)digit;
        held += 6;
        if (held >= 8) {
            held -= 8;
            bytes[(*length)++] = (unsigned char)(bits >> held);
            bits &= (1u << held) - 1;
        }
    }
    /* A lone digit holds no whole byte; what is left over of the last one must be zero. */
    return held < 6 && bits == 0;
}

/* Whether bytes are UTF-8: the shortest form of a character that is no surrogate. */
static bool is_utf8(const unsigned char *bytes, size_t length) {
    static const unsigned long least[] = {0, 0x80, 0x800, 0x10000};
    for (size_t i = 0; i < length;) {
        unsigned char first = bytes[i++];
        size_t more = first < 0x80 ? 0 : first >> 5 == 6 ? 1 : first >> 4 == 14 ? 2 : 3;
        if (more == 3 && first >> 3 != 30) return false;
        unsigned long character = more == 0 ? first : first & (0x3fu >> more);
        if (length - i < more) return false;
        for (size_t left = more; left > 0; left--) {
            if (bytes[i] >> 6 != 2) return false;
            character = character << 6 | (bytes[i++] & 0x3fu);
        }
        if (character < least[more] || character > 0x10ffff) return false;
        if (character >= 0xd800 && character <= 0xdfff) return false;
    }
    return true;
}

/* Answers an HTTP event with its body. A request without one has an empty body. */
static int shout_http(const struct event *event) {
    static const char head[] = "{\"statusCode\":200,\"headers\":{\"content-type\":"
                               "\"text/plain; charset=utf-8\"},\"body\":\"";
    struct slice body = {"", 0};
    inside(event->body, &body);
    if (event->is_base64.start == NULL || !is(event->is_base64, "true")) {
        fputs(head, stdout);
        shout_escaped(body);
        puts("\"}");
        return EXIT_SUCCESS;
    }
    unsigned char *bytes = malloc(body.length / 4 * 3 + 3);
    size_t length;
    if (bytes == NULL) return fail("the body does not fit into memory");
    if (!decode_base64(body, bytes, &length)) {
        free(bytes);
        return fail("the body is not base64");
    }
    if (!is_utf8(bytes, length)) {
        free(bytes);
        return fail("the body is not text");
    }
    fputs(head, stdout);
    shout_plain(bytes, length);
    puts("\"}");
    free(bytes);
    return EXIT_SUCCESS;
}

static int shout(const char *start) {
    struct event event = {0};
    struct slice text;
    if (*start == '"') {
        const char *end = skip_string(start);
        if (end == NULL || *skip_space(end) != '\0') return fail("the event is not JSON");
        putchar('"');
        shout_escaped((struct slice){start + 1, (size_t)(end - start) - 2});
        puts("\"");
        return EXIT_SUCCESS;
    }
    if (*start != '{') return fail("the event is neither an object nor a string");
    if (!scan_object(start, &event)) return fail("the event is not JSON");
    if (event.request_context.start != NULL) return shout_http(&event);
    if (!inside(event.text, &text)) {
        return fail("nothing to shout: send {\\\"text\\\": ..}, a string, or a body over HTTP");
    }
    fputs("{\"text\":\"", stdout);
    shout_escaped(text);
    puts("\"}");
    return EXIT_SUCCESS;
}

int main(void) {
    size_t length;
    char *event = read_event(&length);
    if (event == NULL) return fail("the event cannot be read, or is larger than 6 MiB");
    /* A NUL would end the scan early. */
    int code = strlen(event) == length ? shout(skip_space(event)) : fail("the event is not JSON");
    if (code == EXIT_SUCCESS) fprintf(stderr, "shouted %zu bytes\n", length);
    free(event);
    if (fflush(stdout) != 0) return EXIT_FAILURE;
    return code;
}
