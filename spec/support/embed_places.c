/* embed_places.c - makes a runtime and frees it: `embed_places DATA SCRIPTS [LIB_DIR]`;
 * prints the error.
 */
#include <hob.h>
#include <stdio.h>

int main(int argc, char **argv)
{
    static const char *const settings[] = {"exec_user", "root", NULL};
    struct hob_runtime_options options = {.size = sizeof options,
                                          .endpoint = "localhost",
                                          .port = 1,
                                          .thing_name = "a",
                                          .no_tls = true,
                                          .scripts = argv[2],
                                          .data = argv[1],
                                          .settings = settings,
                                          .no_control = true,
                                          .lib_dir = argc > 3 ? argv[3] : NULL};
    struct hob_runtime *runtime = NULL;
    struct hob_error err = {0};
    if (hob_runtime_new(&options, &runtime, &err))
        printf("%s: %s\n", hob_error_name(err.code), err.message);
    else
        puts("no error");
    hob_runtime_free(runtime);
    return 0;
}
