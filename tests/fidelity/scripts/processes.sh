cd build; echo '#include <unistd.h>
#include <sys/wait.h>
#include <stdio.h>
int main(){pid_t p=vfork(); if(!p){chdir("/tmp"); execl("/bin/pwd","pwd",(char*)0); _exit(1);} int s; waitpid(p,&s,0); FILE*f=fopen("rel","w"); fputs("ok\n",f); fclose(f); char b[99]; printf("%d\n", access("rel",F_OK)); return 0;}' > v.c; gcc v.c -o v && ./v; cat rel; env -i /bin/sh -c 'echo e > envi; cat envi'; cat envi; setsid sh -c 'echo s > sets'; cat sets; timeout 5 sh -c 'echo t > tim'; cat tim; (ulimit -n 64; echo u > ul; cat ul); nohup sh -c 'echo n > nh' 2>/dev/null; cat nh; echo x | xargs -I{} sh -c 'echo {} > xa'; cat xa; strace -o /dev/null cat xa
