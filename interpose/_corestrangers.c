/* _corestrangers.c - what the server says of processes that see the disk and not us, and of what they took
 * from memory, for Python.
 *
 * In    a region, a process or a descriptor
 * Out   None, or an OSError */
#include "_coremodule.h"

#include <sys/stat.h>

PyObject *velo_region_opaque_await_exit(PyObject *self, PyObject *args)
{
    int pid;
    const char *name;
    if (!PyArg_ParseTuple(args, "is", &pid, &name))
        return NULL;
    velo_opaque_await_exit(region_of(self), pid, name);
    Py_RETURN_NONE;
}

/* meets(fd, pid): the process at the other end of a socket or FIFO that this process has is outside. Whether. */
PyObject *velo_region_meets(PyObject *self, PyObject *args)
{
    int fd, pid, outside;
    struct stat stat;
    if (!PyArg_ParseTuple(args, "ii", &fd, &pid))
        return NULL;
    if (fstat(fd, &stat) != 0)
        return raise_errno(-errno);
    Py_BEGIN_ALLOW_THREADS
    outside = pid == 0 || !velo_peer_is_inside(region_of(self), (uint32_t)pid);
    if (outside) {
        const uint64_t inode = stat.st_ino | (S_ISFIFO(stat.st_mode) ? VELO_PEER_FIFO : 0);
        velo_peer_known(region_of(self), velo_peer_begin(region_of(self), fd, inode), (uint32_t)pid,
                        S_ISFIFO(stat.st_mode) ? "a FIFO" : "a socket", 0);
    }
    Py_END_ALLOW_THREADS
    return PyBool_FromLong(outside);
}

PyObject *velo_region_heed_fifos(PyObject *self, PyObject *none)
{
    (void)none;
    velo_fifos_heed(region_of(self));
    Py_RETURN_NONE;
}

PyObject *velo_region_mounts_changed(PyObject *self, PyObject *unused)
{
    (void)unused;
    Py_BEGIN_ALLOW_THREADS
    velo_mounts_changed(region_of(self));
    Py_END_ALLOW_THREADS
    Py_RETURN_NONE;
}

/* missing(node, in_store, drop): velo_missing, or with `drop` velo_missing_drop. */
PyObject *velo_region_missing(PyObject *self, PyObject *args)
{
    unsigned node;
    int in_store, drop, rc;
    if (!PyArg_ParseTuple(args, "Ipp", &node, &in_store, &drop))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    rc = drop ? velo_missing_drop(region_of(self), velo_node_from(node))
              : (int)velo_missing(region_of(self), velo_node_from(node), in_store);
    Py_END_ALLOW_THREADS
    return number_or_error(rc);
}

/* tether(more): see velo_tether. */
PyObject *velo_region_tether(PyObject *self, PyObject *args)
{
    int more, rc;
    if (!PyArg_ParseTuple(args, "p", &more))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_tether(region_of(self), more);
    Py_END_ALLOW_THREADS
    return none_or_error(rc);
}

/* lost_roots(forget): see velo_lost_roots. */
PyObject *velo_region_lost_roots(PyObject *self, PyObject *args)
{
    int forget, rc;
    if (!PyArg_ParseTuple(args, "p", &forget))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_lost_roots(region_of(self), forget);
    Py_END_ALLOW_THREADS
    return number_or_error(rc);
}
