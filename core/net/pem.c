/* pem.c - see pem.h */
#include "net/pem.h"

#include "base/alloc.h"
#include "base/mbed.h"
#include "net/tls_words.h"

#include <errno.h>
#include <mbedtls/platform_util.h>
#include <mbedtls/x509_crt.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define FILE_MAX (1024 * 1024)
#define BEGIN    "-----BEGIN CERTIFICATE-----"

/* What is no file has no size. One that grows meanwhile is refused as too large. */
static size_t room_for(FILE *file)
{
    struct stat st;
    bool is_file = fstat(fileno(file), &st) == 0 && S_ISREG(st.st_mode);
    return is_file && st.st_size < FILE_MAX ? (size_t)st.st_size + 1 : FILE_MAX;
}

static unsigned char *read_all(FILE *file, size_t room, size_t *got, int *number)
{
    unsigned char *text = hob_malloc(room + 1);
    if (!text) {
        *number = ENOMEM;
        return NULL;
    }
    setvbuf(file, NULL, _IONBF, 0); /* or a key would lie in a second place, which is not wiped */
    *got = fread(text, 1, room, file);
    *number = ferror(file) ? errno : 0;
    text[*got] = '\0';
    return text;
}

unsigned char *hob_pem_read(const char *what, const char *path, size_t *len, struct hob_error *err)
{
    size_t got = 0;
    int number = 0;
    FILE *file = fopen(path, "rbe");
    if (!file) {
        hob_tls_words_file(err, what, path, errno);
        return NULL;
    }
    size_t room = room_for(file);
    unsigned char *text = read_all(file, room, &got, &number);
    fclose(file);
    if (!number && got < room) {
        *len = got + 1;
        return text;
    }
    if (number)
        hob_tls_words_file(err, what, path, number);
    else
        hob_error_set(err, HOB_ETLS, "%s %s: too large for a PEM file", what, path);
    hob_pem_free(text, got);
    return NULL;
}

void hob_pem_free(unsigned char *text, size_t len)
{
    if (text)
        mbedtls_platform_zeroize(text, len);
    hob_free(text);
}

int hob_pem_parse_certificates(mbedtls_x509_crt *list, const char *what, const char *name,
                               const unsigned char *text, size_t len, struct hob_error *err)
{
    char label[64], words[128];
    if (!strstr((const char *)text, BEGIN)) {
        if (hob_tls_words_pem_label((const char *)text, label, sizeof(label)))
            return hob_error_set(err, HOB_ETLS, "%s %s: no certificate in it, but \"%s\"", what,
                                 name, label);
        return hob_error_set(err, HOB_ETLS, "%s %s: not a PEM file (no \"" BEGIN "\" in it)", what,
                             name);
    }
    int ret = mbedtls_x509_crt_parse(list, text, len); /* > 0: so many could not be read */
    if (ret < 0 || !list->raw.p)
        return hob_error_set(err, HOB_ETLS, "%s %s: damaged certificate: %s", what, name,
                             hob_mbed_words(ret, words, sizeof(words)));
    return 0;
}
