/* tools.c - build tools by their names, and what this process is. */
#include "tools.h"

#include <stdlib.h>

#include "kernel/text.h"
#include "preload/base/raw.h"
#include "running.h"

struct tool {
    const char *name;
    bool starts; /* units, by processes that we hear of: the others start tools that do */
    bool runs_scripts; /* `npm run build` builds; `cargo run` and `make run` are more than that */
};

static const struct tool *tool_of(const char *program, char *const argv[])
{
    static const struct tool tools[] = {
        {"ninja", true, false},     {"ninja-build", true, false}, {"samu", true, false},
        {"make", true, false},      {"gmake", true, false},       {"cargo", true, false},
        {"scons", true, false},     {"npm", true, true},          {"npx", true, true},
        {"npm-cli.js", true, true}, {"npx-cli.js", true, true},   {"pnpm", true, true},
        {"yarn", true, true},       {"ctest", false, false},      {"meson", false, false},
        {"waf", false, false},      {"bazel", false, false}};
    static const char *const interpreters[] = {"node", "nodejs", "python", "python3", NULL};
    const char *name = velo_base_of(program);
    const bool has_words = argv != NULL && argv[0] != NULL && argv[1] != NULL;
    if (has_words && argv[1][0] != '-' && velo_is_one_of(name, interpreters))
        name = velo_base_of(argv[1]); /* `node .../npm` */
    for (size_t i = 0; i < sizeof tools / sizeof *tools; i++)
        if (strcmp(name, tools[i].name) == 0)
            return &tools[i];
    return NULL;
}

/* The first word behind `cmake`, NULL when that is not what runs. */
static const char *word_of_cmake(const char *program, char *const argv[])
{
    const bool is_cmake = strcmp(velo_base_of(program), "cmake") == 0;
    return is_cmake && argv != NULL && argv[0] != NULL ? argv[1] : NULL;
}

bool velo_is_orchestrator(const char *program, char *const argv[])
{
    static const char *const builds[] = {"--build", "--install", NULL};
    const char *word = word_of_cmake(program, argv);
    return tool_of(program, argv) != NULL || (word != NULL && velo_is_one_of(word, builds));
}

/* `cmake -B build`; with `-E` or `-P` it is a tool like others. */
static bool configures(const char *program, char *const argv[])
{
    static const char *const others[] = {"--build", "--install", "-E", "-P", NULL};
    const char *word = word_of_cmake(program, argv);
    return word != NULL && !velo_is_one_of(word, others);
}

static bool is_cargo(const struct tool *tool)
{
    return strcmp(tool->name, "cargo") == 0;
}

/* A tool that is asked for tests is to run them. `cargo test` compiles them first: velo_is_product. */
static bool asks_for_tests(const struct tool *tool, char *const argv[])
{
    static const char *const goals[] = {"test",         "tests",     "check", "checks", "install",
                                        "installcheck", "distcheck", "bench", NULL};
    for (size_t i = 1; !is_cargo(tool) && argv[0] != NULL && argv[i] != NULL; i++)
        if (velo_is_one_of(argv[i], goals) || velo_begins(argv[i], "test-") ||
            velo_begins(argv[i], "test:") || velo_begins(argv[i], "check-") ||
            (!tool->runs_scripts && strcmp(argv[i], "run") == 0))
            return true;
    return false;
}

static bool has_word(char *const argv[], const char *word)
{
    for (size_t i = 1; argv != NULL && argv[0] != NULL && argv[i] != NULL; i++)
        if (strcmp(argv[i], word) == 0)
            return true;
    return false;
}

/* Compilers, build scripts, and a wrapper of the compiler, whose first word that is. `rustdoc --test` runs tests. */
static bool builds(const char *program, char *const argv[])
{
    static const char *const compilers[] = {"rustc", "clippy-driver", "rustdoc", NULL};
    const char *name = velo_base_of(program);
    const bool has_words = argv != NULL && argv[0] != NULL && argv[1] != NULL;
    if (velo_begins(name, "build-script-"))
        return true;
    return (velo_is_one_of(name, compilers) ||
            (has_words && velo_is_one_of(velo_base_of(argv[1]), compilers))) &&
           !(strcmp(name, "rustdoc") == 0 && has_word(argv, "--test"));
}

/* ---- this process ---------------------------------------------------------------------------- */

static bool starts_units;
static bool is_in_cargo;
static pid_t own_pid;

bool velo_starts_units(void)
{
    return starts_units;
}

bool velo_is_child_of_starter(void)
{
    return starts_units && (pid_t)velo_sys0(SYS_getpid) != own_pid;
}

/* gcc's linker runs make, on a makefile of its own, to compile parts of a program side by side (-flto=auto). */
static bool works_for_linker(void)
{
    return velo_unit != NULL && velo_variable("COLLECT_LTO_WRAPPER") != NULL;
}

bool velo_is_product(const char *program, char *const argv[])
{
    return is_in_cargo && !builds(program, argv);
}

static void learn_what_we_are(char *argv[])
{
    const char *program = program_invocation_short_name;
    if (works_for_linker())
        return;
    if (configures(program, argv)) {
        /* The files that it builds to try a compiler have random names. */
        if (velo_unit != NULL)
            velo_unit->configures = 1;
        else
            setenv("VELO_REPLAY", "off", 1);
        return;
    }
    if (velo_unit != NULL && velo_unit->configures)
        return;
    if (velo_is_orchestrator(program, argv))
        velo_unit_leave();
    const struct tool *tool = tool_of(program, argv);
    own_pid = (pid_t)velo_sys0(SYS_getpid);
    starts_units = tool != NULL && tool->starts && !asks_for_tests(tool, argv) &&
                   velo_unit == NULL && velo_running_begin();
    is_in_cargo = starts_units && is_cargo(tool);
}

/* glibc gives constructors the arguments of main; after unit.c's (102). */
__attribute__((constructor(103))) static void begin(int argc, char *argv[])
{
    if (velo_here() != NULL && velo_replay_mode() != VELO_REPLAY_OFF && argc > 0)
        learn_what_we_are(argv);
}
