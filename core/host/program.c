/* program.c - the program `hob`: all of it is in the library (main.c). */
#include "hob.h"

int main(int argc, char **argv)
{
    return hob_main(argc, argv);
}
