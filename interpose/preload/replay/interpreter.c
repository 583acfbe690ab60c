/* interpreter.c - where an interpreter finds what it is to run. */
#include "interpreter.h"

#include <string.h>

#include "kernel/text.h"
#include "log.h"

/* Letters of its options. A word that is taken for a text by mistake costs an answer. One that is taken for a script by
 * mistake may ask for the time, and be answered. So a letter that is not known is an option without a value. */
struct interpreter {
    const char *name; /* how it begins: python3.11 */
    const char *texts; /* a text follows */
    const char *modules; /* a module does */
    const char *valued; /* a value does, here or in the next word */
    const char *attached; /* the rest of the word is its value */
    const char *const *longs; /* whose value is the next word */
};

static const char *const of_python[] = {"--check-hash-based-pycs", NULL};
static const char *const of_node[] = {
    "--require", "--import", "--loader", "--experimental-loader", "--conditions", NULL};
static const char *const none[] = {NULL};
static const char *const texts[] = {"--eval", "--print", NULL}; /* of node */

static const struct interpreter interpreters[] = {{"python", "c", "m", "WX", "", of_python},
                                                  {"perl", "eE", "", "I", "MmF", none},
                                                  {"node", "ep", "", "rC", "", of_node},
                                                  {"ruby", "e", "", "rIC", "", none},
                                                  {"lua", "e", "", "l", "", none},
                                                  {"php", "rBRE", "", "dcf", "", none},
                                                  {"tclsh", "", "", "", "", none}};

static const struct interpreter *interpreter_of(const char *path)
{
    const char *base = velo_base_of(path);
    for (size_t i = 0; i < sizeof interpreters / sizeof *interpreters; i++)
        if (strncmp(base, interpreters[i].name, strlen(interpreters[i].name)) == 0)
            return &interpreters[i];
    return NULL;
}

enum meaning { FLAG, VALUE_FOLLOWS, MODULE_FOLLOWS, MODULE_ATTACHED, IS_TEXT };

/* What comes behind the letters of `word`, of which several may stand together: `-lane`. */
static enum meaning meaning_of(const struct interpreter *it, const char *word)
{
    if (word[1] == '-') {
        if (it->longs == of_node &&
            (velo_is_one_of(word, texts) || strncmp(word, "--eval=", 7) == 0 ||
             strncmp(word, "--print=", 8) == 0))
            return IS_TEXT;
        return velo_is_one_of(word, it->longs) ? VALUE_FOLLOWS : FLAG;
    }
    for (const char *letter = word + 1; *letter != 0; letter++) {
        if (strchr(it->texts, *letter) != NULL)
            return IS_TEXT;
        if (strchr(it->modules, *letter) != NULL)
            return letter[1] == 0 ? MODULE_FOLLOWS : MODULE_ATTACHED;
        if (strchr(it->valued, *letter) != NULL)
            return letter[1] == 0 ? VALUE_FOLLOWS : FLAG;
        if (strchr(it->attached, *letter) != NULL)
            return FLAG;
    }
    return FLAG;
}

static unsigned told(const struct interpreter *it, int argc, char *const argv[],
                     const char **script)
{
    for (int i = 1; i < argc; i++) {
        const bool ends = strcmp(argv[i], "--") == 0;
        if (ends || argv[i][0] != '-') {
            *script = ends ? (i + 1 < argc ? argv[i + 1] : "") : argv[i];
            return **script == 0 ? VELO_PROGRAM_TEXT : 0;
        }
        const enum meaning meaning = meaning_of(it, argv[i]);
        if (argv[i][1] == 0 || meaning == IS_TEXT)
            return VELO_PROGRAM_TEXT; /* "-": its standard input */
        if (meaning == MODULE_ATTACHED) /* which is hard to find among its letters */
            return VELO_PROGRAM_TEXT;
        if (meaning == MODULE_FOLLOWS) {
            *script = i + 1 < argc ? argv[i + 1] : "";
            return VELO_PROGRAM_MODULE;
        }
        i += meaning == VALUE_FOLLOWS;
    }
    return VELO_PROGRAM_TEXT;
}

unsigned velo_interpreter_told(const char *path, int argc, char *const argv[], const char **script)
{
    const struct interpreter *it = interpreter_of(path);
    *script = it == NULL && argc > 1 && argv[1][0] != '-' ? argv[1] : "";
    const unsigned how = it == NULL ? 0 : told(it, argc, argv, script);
    if (strlen(*script) >= PATH_MAX)
        *script = "";
    return how;
}
