/* pkcs11.c - a gateway whose private key is in a PKCS #11 token: a TPM (tpm2-pkcs11), a secure
 * element, an HSM, or SoftHSM on a desk. Hob has the certificate, which is public; the token signs.
 *
 *     PKCS11_PIN=1234 ./pkcs11 hob.conf.lua /usr/lib/softhsm/libsofthsm2.so TOKEN KEY
 *
 * TOKEN and KEY are labels. hob.conf.lua names `cert`, and no `key`.
 *
 *     cc -o pkcs11 pkcs11.c $(pkg-config --cflags --libs hob p11-kit-1)
 */
#include <dlfcn.h>
#include <hob.h>
#include <p11-kit/pkcs11.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS_MAX     64
#define HASH_MAX      64
#define RAW_MAX       132 /* r and s together, on P-521 */
#define DIGEST_PREFIX 19

struct token {
    CK_FUNCTION_LIST *p11;
    const char *token, *key; /* labels */
    const char *pin;
    CK_SESSION_HANDLE session; /* 0: none */
    CK_OBJECT_HANDLE handle;   /* of the key */
};

static int fail(struct hob_error *err, const char *doing, CK_RV rv)
{
    snprintf(err->message, sizeof err->message, "%s: PKCS #11 error 0x%lx", doing, rv);
    return err->code = HOB_EIO;
}

/* ---- the way to the key ---- */

/* Labels are 32 characters, filled up with blanks. */
static int has_label(const CK_TOKEN_INFO *info, const char *label)
{
    size_t len = strlen(label);
    for (size_t i = 0; i < sizeof info->label; i++)
        if (info->label[i] != (CK_UTF8CHAR)(i < len ? label[i] : ' '))
            return 0;
    return len <= sizeof info->label;
}

static int find_slot(struct token *t, CK_SLOT_ID *out, struct hob_error *err)
{
    CK_SLOT_ID slots[SLOTS_MAX];
    CK_ULONG count = SLOTS_MAX;
    CK_TOKEN_INFO info;
    CK_RV rv = t->p11->C_GetSlotList(CK_TRUE, slots, &count);
    if (rv != CKR_OK)
        return fail(err, "listing tokens", rv);
    for (CK_ULONG i = 0; i < count; i++) {
        if (t->p11->C_GetTokenInfo(slots[i], &info) == CKR_OK && has_label(&info, t->token)) {
            *out = slots[i];
            return 0;
        }
    }
    snprintf(err->message, sizeof err->message, "no token \"%s\" is there (of %lu)", t->token,
             count);
    return err->code = HOB_ENOENT;
}

static int find_key(struct token *t, struct hob_error *err)
{
    CK_OBJECT_CLASS private_key = CKO_PRIVATE_KEY;
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &private_key, sizeof private_key},
                             {CKA_LABEL, (void *)t->key, strlen(t->key)}};
    CK_ULONG found = 0;
    CK_RV rv = t->p11->C_FindObjectsInit(t->session, wanted, 2);
    if (rv == CKR_OK) {
        rv = t->p11->C_FindObjects(t->session, &t->handle, 1, &found);
        t->p11->C_FindObjectsFinal(t->session);
    }
    if (rv != CKR_OK)
        return fail(err, "looking for the key", rv);
    if (found == 1)
        return 0;
    snprintf(err->message, sizeof err->message, "no private key \"%s\" in the token \"%s\"", t->key,
             t->token);
    return err->code = HOB_ENOENT;
}

static int log_in(struct token *t, struct hob_error *err)
{
    CK_RV rv = t->p11->C_Login(t->session, CKU_USER, (CK_UTF8CHAR *)t->pin, strlen(t->pin));
    return rv == CKR_OK || rv == CKR_USER_ALREADY_LOGGED_IN ? 0 : fail(err, "logging in", rv);
}

static void leave(struct token *t)
{
    if (t->session)
        t->p11->C_CloseSession(t->session);
    t->session = 0;
}

static int enter(struct token *t, struct hob_error *err)
{
    CK_SLOT_ID slot;
    if (t->session)
        return 0;
    if (find_slot(t, &slot, err))
        return err->code;
    CK_RV rv = t->p11->C_OpenSession(slot, CKF_SERIAL_SESSION, NULL, NULL, &t->session);
    if (rv != CKR_OK)
        return fail(err, "opening a session", rv);
    if (log_in(t, err) == 0 && find_key(t, err) == 0)
        return 0;
    leave(t);
    return err->code;
}

/* ---- what tokens give and take, and what TLS has ---- */

/* RSA tokens pad, but what they pad is the whole DigestInfo: which hash it is, then the hash. */
static size_t digest_info(const struct hob_key_request *r, unsigned char *out)
{
    unsigned char len = (unsigned char)r->hash_len;
    unsigned char which = len == 32 ? 1 : len == 48 ? 2 : 3; /* SHA-256, SHA-384, SHA-512 */
    const unsigned char prefix[DIGEST_PREFIX] = {0x30,  (unsigned char)(17 + len),
                                                 0x30,  0x0d,
                                                 0x06,  0x09,
                                                 0x60,  0x86,
                                                 0x48,  0x01,
                                                 0x65,  0x03,
                                                 0x04,  0x02,
                                                 which, 0x05,
                                                 0x00,  0x04,
                                                 len};
    memcpy(out, prefix, sizeof prefix);
    memcpy(out + sizeof prefix, r->hash, len);
    return sizeof prefix + len;
}

/* One positive INTEGER: without leading zeros, but for one where it would look negative. */
static size_t der_integer(const unsigned char *from, size_t len, unsigned char *out)
{
    while (len > 1 && *from == 0) {
        from++;
        len--;
    }
    size_t zero = *from & 0x80 ? 1 : 0;
    out[0] = 0x02;
    out[1] = (unsigned char)(zero + len);
    out[2] = 0;
    memcpy(out + 2 + zero, from, len);
    return 2 + zero + len;
}

/* EC tokens give r and s one after the other; TLS has SEQUENCE { r, s }. */
static size_t der_signature(const unsigned char *raw, size_t len, unsigned char *out)
{
    unsigned char body[RAW_MAX + 8];
    size_t used = der_integer(raw, len / 2, body);
    used += der_integer(raw + len / 2, len / 2, body + used);
    size_t head = used < 128 ? 2 : 3;
    out[0] = 0x30;
    out[1] = head == 2 ? (unsigned char)used : 0x81;
    out[2] = (unsigned char)used; /* of the long form; else overwritten */
    memcpy(out + head, body, used);
    return head + used;
}

/* ---- signing ---- */

static int sign_rsa(struct token *t, const struct hob_key_request *r, unsigned char *out,
                    size_t *out_len, CK_RV *rv)
{
    unsigned char info[DIGEST_PREFIX + HASH_MAX];
    CK_ULONG len = *out_len;
    *rv = t->p11->C_Sign(t->session, info, digest_info(r, info), out, &len);
    *out_len = len;
    return *rv == CKR_OK;
}

static int sign_ec(struct token *t, const struct hob_key_request *r, unsigned char *out,
                   size_t *out_len, CK_RV *rv)
{
    unsigned char raw[RAW_MAX];
    CK_ULONG len = sizeof raw;
    *rv = t->p11->C_Sign(t->session, (CK_BYTE *)r->hash, r->hash_len, raw, &len);
    if (*rv == CKR_OK)
        *out_len = der_signature(raw, len, out); /* Hob gives room for far more */
    return *rv == CKR_OK;
}

static int try_once(struct token *t, const struct hob_key_request *r, unsigned char *out,
                    size_t *out_len, struct hob_error *err)
{
    int rsa = r->scheme == HOB_KEY_RSA_PKCS1;
    CK_MECHANISM how = {rsa ? CKM_RSA_PKCS : CKM_ECDSA, NULL, 0};
    if (enter(t, err))
        return err->code;
    CK_RV rv = t->p11->C_SignInit(t->session, &how, t->handle);
    if (rv == CKR_OK && (rsa ? sign_rsa : sign_ec)(t, r, out, out_len, &rv))
        return 0;
    leave(t);
    return fail(err, "signing", rv);
}

/* A session ends when the token is taken out, or sleeps: the second try begins anew. */
static int sign(void *user, const struct hob_key_request *r, unsigned char *out, size_t *out_len,
                struct hob_error *err)
{
    size_t room = *out_len;
    if (r->scheme == HOB_KEY_RSA_PSS || r->hash_len > HASH_MAX) {
        snprintf(err->message, sizeof err->message,
                 "this example signs with PKCS #1 v1.5 and ECDSA");
        return HOB_EUNSUPPORTED;
    }
    if (try_once(user, r, out, out_len, err) == 0)
        return 0;
    *out_len = room;
    return try_once(user, r, out, out_len, err);
}

/* ---- the program ---- */

static CK_FUNCTION_LIST *load(const char *path)
{
    CK_FUNCTION_LIST *list = NULL;
    CK_C_GetFunctionList get;
    void *module = dlopen(path, RTLD_NOW);
    void *symbol = module ? dlsym(module, "C_GetFunctionList") : NULL;
    if (!symbol) {
        fprintf(stderr, "%s\n", dlerror());
        return NULL;
    }
    memcpy(&get, &symbol, sizeof get); /* ISO C has no conversion for it */
    CK_RV rv = get(&list);
    if (rv == CKR_OK)
        rv = list->C_Initialize(NULL);
    if (rv == CKR_OK)
        return list;
    fprintf(stderr, "%s: PKCS #11 error 0x%lx\n", path, rv);
    return NULL;
}

static int run(const char *config, const struct hob_key_provider *provider)
{
    struct hob_runtime_options options = {.size = sizeof options,
                                          .config_file = config,
                                          .handle_signals = true,
                                          .key_provider = provider};
    struct hob_runtime *hob;
    struct hob_error err;
    int code = hob_runtime_new(&options, &hob, &err);
    if (code) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    code = hob_runtime_start(hob, &err);
    if (code)
        fprintf(stderr, "%s\n", err.message);
    else
        hob_runtime_run(hob);
    hob_runtime_free(hob);
    return code ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct token token = {0};
    struct hob_key_provider provider = {
        .size = sizeof provider, .name = "PKCS #11", .sign = sign, .user = &token};
    const char *pin = getenv("PKCS11_PIN");
    if (argc != 5 || !pin) {
        fprintf(stderr, "usage: PKCS11_PIN=... %s CONFIG MODULE TOKEN KEY\n", argv[0]);
        return 2;
    }
    token = (struct token){.p11 = load(argv[2]), .token = argv[3], .key = argv[4], .pin = pin};
    if (!token.p11)
        return 1;
    int status = run(argv[1], &provider);
    leave(&token);
    token.p11->C_Finalize(NULL);
    return status;
}
