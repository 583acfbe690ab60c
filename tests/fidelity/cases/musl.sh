# needs: musl-gcc
# a program of another C library (musl), dynamic and static
printf '#include <stdio.h>\nint main(void){char b[9];FILE*f=fopen("build/in","r");fgets(b,9,f);f=fopen("build/out","w");fputs(b,f);fclose(f);return 0;}' > p.c
musl-gcc -w -o p p.c && musl-gcc -w -static -o q p.c
echo hello > build/in; ./p; echo "status $?"; cat build/out; echo again > build/in; ./q; cat build/out; ls build
