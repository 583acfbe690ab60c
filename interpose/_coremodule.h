/* _coremodule.h - what the files of the extension module `velo.interpose._core` share.
 *
 * Limited API of 3.11: one binary serves all later versions. */
#ifndef VELO_COREMODULE_H
#define VELO_COREMODULE_H

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <errno.h>

#include "core/velo.h"

struct region_object {
    PyObject_HEAD
    struct velo_region region;
};

static inline struct velo_region *region_of(PyObject *self)
{
    return &((struct region_object *)(void *)self)->region;
}

static inline PyObject *raise_errno(int rc)
{
    errno = -rc;
    return PyErr_SetFromErrno(PyExc_OSError);
}

static inline PyObject *none_or_error(int rc)
{
    if (rc < 0)
        return raise_errno(rc);
    Py_RETURN_NONE;
}

static inline PyObject *number_or_error(int rc)
{
    return rc < 0 ? raise_errno(rc) : PyLong_FromLong(rc);
}

/* region.statistics() and the module's request(...): methods with files of their own. */
PyObject *velo_region_opaque_await_exit(PyObject *self, PyObject *args);
PyObject *velo_region_meets(PyObject *self, PyObject *args);
PyObject *velo_region_heed_fifos(PyObject *self, PyObject *none);
PyObject *velo_region_mounts_changed(PyObject *self, PyObject *unused);
PyObject *velo_region_tether(PyObject *self, PyObject *args);
PyObject *velo_region_missing(PyObject *self, PyObject *args);
PyObject *velo_region_lost_roots(PyObject *self, PyObject *args);
PyObject *velo_region_statistics(PyObject *self, PyObject *unused);
PyObject *velo_region_check(PyObject *self, PyObject *unused);
PyObject *velo_region_lock_owner(PyObject *self, PyObject *unused);
PyObject *velo_core_request(PyObject *module, PyObject *args);
PyObject *velo_region_trace_topics(PyObject *self, PyObject *args);
PyObject *velo_region_trace_read(PyObject *self, PyObject *args);
PyObject *velo_region_trace_program(PyObject *self, PyObject *args);
PyObject *velo_core_trace_events(PyObject *module, PyObject *unused);
PyObject *velo_core_records(PyObject *module, PyObject *args);
PyObject *velo_core_sorted_low(PyObject *module, PyObject *each);
PyObject *velo_core_grouped(PyObject *module, PyObject *args);
PyObject *velo_core_sha256(PyObject *module, PyObject *bytes);

/* Append an object to which there is no other reference; NULL: it could not be made. 0 or -1. */
static inline int list_take(PyObject *list, PyObject *item)
{
    const int rc = item == NULL ? -1 : PyList_Append(list, item);
    Py_XDECREF(item);
    return rc;
}

#endif
