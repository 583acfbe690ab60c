/* _coremodule.c - `velo.interpose._core`: velo.h for CPython, one method per function.
 *
 * In    Python integers, bytes and str
 * Out   integers, bytes, tuples and dicts; a negative errno of the core becomes an OSError
 * Never a decision: what to do about -EBUSY or a callback is core.py's business
 *
 * Whatever may wait for a lock, a disk or a peer runs without the GIL.  A region is read-only after
 * attach, so threads may share one. */
#include "_coremodule.h"

#include <stdatomic.h>
#include <string.h>

#define SCAN_COUNT_MAX 512u

/* ---- making and leaving ---------------------------------------------------------------------- */

static PyObject *core_create(PyObject *module, PyObject *args)
{
    const char *directory, *alias;
    struct velo_options options = {0};
    const char *patterns[VELO_PATTERNS_MAX];
    PyObject *list;
    unsigned long long max_memory;
    (void)module;
    if (!PyArg_ParseTuple(args, "yyyyO!IKp", &directory, &options.workspace, &alias,
                          &options.socket, &PyList_Type, &list, &options.shard_count, &max_memory,
                          &options.poison))
        return NULL;
    const Py_ssize_t count = PyList_Size(list);
    if (count > (Py_ssize_t)VELO_PATTERNS_MAX)
        return PyErr_Format(PyExc_ValueError, "%zd patterns, at most %u", count, VELO_PATTERNS_MAX);
    for (Py_ssize_t i = 0; i < count; i++) {
        patterns[i] = PyUnicode_AsUTF8AndSize(PyList_GetItem(list, i), NULL);
        if (patterns[i] == NULL)
            return NULL;
    }
    options.alias = alias[0] != 0 ? alias : NULL;
    options.patterns = patterns;
    options.pattern_count = (uint32_t)count;
    options.max_memory_bytes = max_memory;
    int rc;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_region_create(directory, &options);
    Py_END_ALLOW_THREADS
    return none_or_error(rc);
}

/* Region(directory): attached before the caller has a reference, so methods never see a bare one. */
static PyObject *region_new(PyTypeObject *type, PyObject *args, PyObject *keywords)
{
    const char *directory;
    (void)keywords;
    if (!PyArg_ParseTuple(args, "y", &directory))
        return NULL;
    allocfunc allocate = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    PyObject *self = allocate(type, 0);
    if (self == NULL)
        return NULL;
    const int rc = velo_region_attach(region_of(self), directory);
    if (rc == 0)
        return self;
    memset(region_of(self), 0, sizeof(struct velo_region)); /* "not attached" for dealloc */
    Py_DECREF(self);
    errno = -rc;
    return PyErr_SetFromErrnoWithFilename(PyExc_OSError, directory);
}

static void region_dealloc(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (region_of(self)->header != NULL)
        velo_region_detach(region_of(self));
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

static PyObject *core_layout_hash(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    return PyLong_FromUnsignedLongLong(velo_layout_hash());
}

/* What serve decided: workspace, socket, shard count, max_memory, patterns. */
static PyObject *region_options(PyObject *self, PyObject *unused)
{
    const struct velo_region *region = region_of(self);
    char pattern[VELO_PATTERN_TEXT];
    (void)unused;
    PyObject *patterns = PyList_New(0);
    if (patterns == NULL)
        return NULL;
    for (uint32_t i = 0; velo_pattern_text(region, i, pattern); i++) {
        if (list_take(patterns, PyUnicode_DecodeFSDefault(pattern)) != 0) {
            Py_DECREF(patterns);
            return NULL;
        }
    }
    return Py_BuildValue("yyIKN", velo_workspace_of(region), velo_socket_of(region),
                         velo_shard_count(region), (unsigned long long)velo_max_memory(region),
                         patterns);
}

/* ---- looking --------------------------------------------------------------------------------- */

static PyObject *info_tuple(const struct velo_node_info *info)
{
    PyObject *digest = Py_NewRef(Py_None);
    if (info->has_digest) {
        Py_DECREF(digest);
        digest = PyBytes_FromStringAndSize((const char *)info->digest, sizeof info->digest);
        if (digest == NULL)
            return NULL;
    }
    return Py_BuildValue("IIIIINNIKKKLKN", info->node.slot, info->generation, info->home,
                         info->state, info->links, PyBool_FromLong(info->dirty_disk != 0),
                         PyBool_FromLong(info->dirty_store != 0), info->mode,
                         (unsigned long long)info->version, (unsigned long long)info->charged_bytes,
                         (unsigned long long)info->size_bytes, (long long)info->mtime_ns,
                         (unsigned long long)info->access_tick, digest);
}

/* scan(home, cursor) -> ([tuple...], cursor); home 2**32-1 means all, cursor 0 begins and ends. */
static PyObject *region_scan(PyObject *self, PyObject *args)
{
    unsigned home, cursor;
    if (!PyArg_ParseTuple(args, "II", &home, &cursor))
        return NULL;
    struct velo_node_info *found = PyMem_Malloc(SCAN_COUNT_MAX * sizeof *found);
    if (found == NULL)
        return PyErr_NoMemory();
    uint32_t next = cursor;
    uint32_t count;
    Py_BEGIN_ALLOW_THREADS
    count = velo_scan(region_of(self), home, &next, found, SCAN_COUNT_MAX);
    Py_END_ALLOW_THREADS
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (uint32_t i = 0; list != NULL && i < count; i++) {
        PyObject *item = info_tuple(&found[i]);
        if (item == NULL || PyList_SetItem(list, (Py_ssize_t)i, item) != 0)
            Py_CLEAR(list);
    }
    PyMem_Free(found);
    return list == NULL ? NULL : Py_BuildValue("NI", list, next);
}

static PyObject *region_info(PyObject *self, PyObject *args)
{
    unsigned node;
    struct velo_node_info info;
    if (!PyArg_ParseTuple(args, "I", &node))
        return NULL;
    int rc;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_node_info(region_of(self), velo_node_from(node), &info);
    Py_END_ALLOW_THREADS
    return rc < 0 ? raise_errno(rc) : info_tuple(&info);
}

static PyObject *region_path_of(PyObject *self, PyObject *args)
{
    unsigned node;
    char path[PATH_MAX];
    if (!PyArg_ParseTuple(args, "I", &node))
        return NULL;
    int rc;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_path_of(region_of(self), velo_node_from(node), path);
    Py_END_ALLOW_THREADS
    return rc < 0 ? raise_errno(rc) : PyUnicode_DecodeFSDefaultAndSize(path, rc);
}

/* pulse(home) -> (activity, slice used, slice limit, total used, its limit, paused): a few relaxed loads,
 * and a look at the file system when the last one is old. */
static PyObject *region_pulse(PyObject *self, PyObject *args)
{
    unsigned home;
    if (!PyArg_ParseTuple(args, "I", &home))
        return NULL;
    const struct velo_region *region = region_of(self);
    struct velo_pulse pulse;
    if (velo_pulse(region, home, &pulse) != 0)
        return PyErr_Format(PyExc_ValueError, "shard %u of %u", home, velo_shard_count(region));
    return Py_BuildValue(
        "KKKKKN", (unsigned long long)pulse.activity, (unsigned long long)pulse.used_bytes,
        (unsigned long long)pulse.limit_bytes, (unsigned long long)velo_used_bytes(region),
        (unsigned long long)velo_limit_bytes(region), PyBool_FromLong(pulse.paused));
}

/* ---- one node -------------------------------------------------------------------------------- */

#define NODE_CALL(name, call, result)                                                              \
    static PyObject *region_##name(PyObject *self, PyObject *args)                                 \
    {                                                                                              \
        unsigned node;                                                                             \
        int rc;                                                                                    \
        if (!PyArg_ParseTuple(args, "I", &node))                                                   \
            return NULL;                                                                           \
        Py_BEGIN_ALLOW_THREADS                                                                     \
        rc = call(region_of(self), velo_node_from(node));                                          \
        Py_END_ALLOW_THREADS                                                                       \
        return result(rc);                                                                         \
    }

NODE_CALL(refresh_attributes, velo_refresh_attributes, number_or_error)
NODE_CALL(open_bytes, velo_open_bytes, number_or_error)
NODE_CALL(evict, velo_evict, none_or_error)

static PyObject *region_stored(PyObject *self, PyObject *args)
{
    unsigned node;
    unsigned long long version;
    struct velo_node_info seen = {0};
    const char *digest;
    Py_ssize_t size;
    if (!PyArg_ParseTuple(args, "IIKy#", &node, &seen.generation, &version, &digest, &size))
        return NULL;
    if (size != 32)
        return PyErr_Format(PyExc_ValueError, "digest of %zd bytes, expected 32", size);
    seen.node = velo_node_from(node);
    seen.version = version;
    int rc;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_stored(region_of(self), &seen, (const uint8_t *)digest);
    Py_END_ALLOW_THREADS
    return none_or_error(rc);
}

static PyObject *region_load_begin(PyObject *self, PyObject *args)
{
    unsigned node;
    uint64_t token = 0;
    int rc;
    if (!PyArg_ParseTuple(args, "I", &node))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_load_begin(region_of(self), velo_node_from(node), &token);
    Py_END_ALLOW_THREADS
    return rc < 0 ? raise_errno(rc) : Py_BuildValue("iK", rc, (unsigned long long)token);
}

static PyObject *region_load_end(PyObject *self, PyObject *args)
{
    unsigned node;
    unsigned long long version, token;
    struct velo_node_info seen = {0};
    int fd, rc;
    if (!PyArg_ParseTuple(args, "IIKKi", &node, &seen.generation, &version, &token, &fd))
        return NULL;
    seen.node = velo_node_from(node);
    seen.version = version;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_load_end(region_of(self), &seen, token, fd);
    Py_END_ALLOW_THREADS
    return none_or_error(rc);
}

/* ---- memory to disk and back ----------------------------------------------------------------- */

static PyObject *region_writeback(PyObject *self, PyObject *args)
{
    unsigned node, flags;
    int rc;
    if (!PyArg_ParseTuple(args, "II", &node, &flags))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_writeback(region_of(self), velo_node_from(node), flags);
    Py_END_ALLOW_THREADS
    return number_or_error(rc);
}

static PyObject *region_flush(PyObject *self, PyObject *args)
{
    unsigned flags, timeout_ms;
    struct velo_flush_result done = {0};
    int rc;
    if (!PyArg_ParseTuple(args, "II", &flags, &timeout_ms))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_flush(region_of(self), flags, timeout_ms, &done);
    Py_END_ALLOW_THREADS
    if (rc < 0)
        return raise_errno(rc);
    return Py_BuildValue("KKKKKi", (unsigned long long)done.files,
                         (unsigned long long)done.directories, (unsigned long long)done.bytes,
                         (unsigned long long)done.still_open, (unsigned long long)done.failed,
                         -done.first_error);
}

struct conflict_call {
    PyObject *callable;
    PyThreadState *thread;
    int failed;
};

static void tell_conflict(void *context, const char *path)
{
    struct conflict_call *call = context;
    PyEval_RestoreThread(call->thread);
    if (!call->failed) {
        PyObject *text = PyUnicode_DecodeFSDefault(path);
        PyObject *result =
            text == NULL ? NULL : PyObject_CallFunctionObjArgs(call->callable, text, NULL);
        call->failed = result == NULL; /* the exception stays set until the core returns */
        Py_XDECREF(text);
        Py_XDECREF(result);
    }
    call->thread = PyEval_SaveThread();
}

static PyObject *region_reconcile(PyObject *self, PyObject *args)
{
    struct conflict_call call = {0};
    struct velo_reconcile_result done = {0};
    if (!PyArg_ParseTuple(args, "O", &call.callable))
        return NULL;
    call.thread = PyEval_SaveThread();
    const int rc = velo_reconcile(region_of(self), tell_conflict, &call, &done);
    velo_mounts_apply(region_of(self));
    PyEval_RestoreThread(call.thread);
    if (call.failed)
        return NULL;
    if (rc < 0)
        return raise_errno(rc);
    return Py_BuildValue("KKKKK", (unsigned long long)done.seen, (unsigned long long)done.ingested,
                         (unsigned long long)done.changed, (unsigned long long)done.vanished,
                         (unsigned long long)done.conflicts);
}

static PyObject *region_sweep(PyObject *self, PyObject *unused)
{
    (void)unused;
    int rc;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_sweep(region_of(self));
    Py_END_ALLOW_THREADS
    return number_or_error(rc);
}

static PyObject *region_pause(PyObject *self, PyObject *args)
{
    int paused;
    if (!PyArg_ParseTuple(args, "p", &paused))
        return NULL;
    velo_pause(region_of(self), paused);
    Py_RETURN_NONE;
}

/* ---- tables ---------------------------------------------------------------------------------- */

static PyMethodDef region_methods[] = {
    {"options", region_options, METH_NOARGS, NULL},
    {"scan", region_scan, METH_VARARGS, NULL},
    {"info", region_info, METH_VARARGS, NULL},
    {"path_of", region_path_of, METH_VARARGS, NULL},
    {"pulse", region_pulse, METH_VARARGS, NULL},
    {"statistics", velo_region_statistics, METH_NOARGS, NULL},
    {"trace_topics", velo_region_trace_topics, METH_VARARGS, NULL},
    {"trace_read", velo_region_trace_read, METH_VARARGS, NULL},
    {"trace_program", velo_region_trace_program, METH_VARARGS, NULL},
    {"check", velo_region_check, METH_NOARGS, NULL},
    {"refresh_attributes", region_refresh_attributes, METH_VARARGS, NULL},
    {"open_bytes", region_open_bytes, METH_VARARGS, NULL},
    {"stored", region_stored, METH_VARARGS, NULL},
    {"evict", region_evict, METH_VARARGS, NULL},
    {"load_begin", region_load_begin, METH_VARARGS, NULL},
    {"load_end", region_load_end, METH_VARARGS, NULL},
    {"writeback", region_writeback, METH_VARARGS, NULL},
    {"flush", region_flush, METH_VARARGS, NULL},
    {"reconcile", region_reconcile, METH_VARARGS, NULL},
    {"mounts_changed", velo_region_mounts_changed, METH_NOARGS, NULL},
    {"missing", velo_region_missing, METH_VARARGS, NULL},
    {"tether", velo_region_tether, METH_VARARGS, NULL},
    {"lost_roots", velo_region_lost_roots, METH_VARARGS, NULL},
    {"sweep", region_sweep, METH_NOARGS, NULL},
    {"pause", region_pause, METH_VARARGS, NULL},
    {"lock_owner", velo_region_lock_owner, METH_NOARGS, NULL},
    {"meets", velo_region_meets, METH_VARARGS, NULL},
    {"heed_fifos", velo_region_heed_fifos, METH_NOARGS, NULL},
    {"opaque_await_exit", velo_region_opaque_await_exit, METH_VARARGS, NULL},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot region_slots[] = {
    {Py_tp_doc, "One attached arena. See velo.interpose.core.Region."},
    {Py_tp_new, region_new},
    {Py_tp_dealloc, region_dealloc},
    {Py_tp_methods, region_methods},
    {0, NULL},
};

static PyType_Spec region_spec = {
    .name = "velo.interpose._core.Region",
    .basicsize = sizeof(struct region_object),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = region_slots,
};

static int core_exec(PyObject *module)
{
    PyObject *type = PyType_FromModuleAndSpec(module, &region_spec, NULL);
    if (type == NULL)
        return -1;
    const int rc = PyModule_AddObjectRef(module, "Region", type);
    Py_DECREF(type);
    if (rc != 0)
        return -1;
    return PyModule_AddIntConstant(module, "FLUSH_PROGRAMS", VELO_FLUSH_PROGRAMS) ||
                   PyModule_AddIntConstant(module, "FLUSH_SYNC", VELO_FLUSH_SYNC) ||
                   PyModule_AddIntConstant(module, "SHARDS_MAX", VELO_SHARDS_MAX) ||
                   PyModule_AddIntConstant(module, "PATTERNS_MAX", VELO_PATTERNS_MAX)
               ? -1
               : 0;
}

static PyMethodDef core_methods[] = {
    {"create", core_create, METH_VARARGS, NULL},
    {"layout_hash", core_layout_hash, METH_NOARGS, NULL},
    {"request", velo_core_request, METH_VARARGS, NULL},
    {"trace_events", velo_core_trace_events, METH_NOARGS, NULL},
    {"records", velo_core_records, METH_VARARGS, NULL},
    {"sorted_low", velo_core_sorted_low, METH_O, NULL},
    {"grouped", velo_core_grouped, METH_VARARGS, NULL},
    {"sha256", velo_core_sha256, METH_O, NULL},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot core_slots[] = {
    {Py_mod_exec, core_exec},
    {0, NULL},
};

static struct PyModuleDef core_module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "velo.interpose._core",
    .m_doc = "velo.h for CPython; use velo.interpose.core.",
    .m_methods = core_methods,
    .m_slots = core_slots,
};

PyMODINIT_FUNC PyInit__core(void)
{
    return PyModuleDef_Init(&core_module);
}
