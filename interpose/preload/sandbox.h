/* sandbox.h - before a step into another view of the file systems. */
#ifndef VELO_PRELOAD_SANDBOX_H
#define VELO_PRELOAD_SANDBOX_H

/* This process, or a child that it is about to make, will see other file systems. */
void velo_enter_sandbox(void);
/* The same, if these flags of clone(2) or unshare(2) say so. */
void velo_before_namespaces(unsigned long flags);

#endif
