# a static program reads and writes the hosted tree by itself
printf '#include <stdio.h>\nint main(void){char b[9];FILE*f=fopen("build/in","r");fgets(b,9,f);f=fopen("build/out","w");fputs(b,f);return 0;}' > p.c
gcc -static -w -o p p.c
echo hello > build/in; ./p; cat build/out; ls build
