# natively: new
# hosted: old
cat > own.c <<'C'
#define _GNU_SOURCE
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
static int (*found)(const char *, int, ...);
static int each(struct dl_phdr_info *of, size_t size, void *none)
{
    (void)size, (void)none;
    if (strstr(of->dlpi_name, "libc.so") == NULL) return 0;
    const ElfW(Sym) *symbols = NULL; const char *names = NULL;
    for (int i = 0; i < of->dlpi_phnum; i++)
        if (of->dlpi_phdr[i].p_type == PT_DYNAMIC)
            for (const ElfW(Dyn) *at = (void *)(of->dlpi_addr + of->dlpi_phdr[i].p_vaddr); at->d_tag; at++) {
                if (at->d_tag == DT_SYMTAB) symbols = (void *)at->d_un.d_ptr;
                if (at->d_tag == DT_STRTAB) names = (void *)at->d_un.d_ptr;
            }
    for (const ElfW(Sym) *at = symbols; (const char *)at < names; at++)
        if (strcmp(names + at->st_name, "open") == 0) found = (void *)(of->dlpi_addr + at->st_value);
    return 0;
}
int main(void)
{
    char text[8] = "";
    dl_iterate_phdr(each, NULL);
    int file = found("build/f", O_RDONLY);
    if (file < 0) puts("nothing"); else { read(file, text, 3); puts(text); }
}
C
gcc -w -o own own.c && echo old > build/f && $VELO sync >/dev/null 2>&1
echo new > build/g; mv build/g build/f; ./own; rm -f own
