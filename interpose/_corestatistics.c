/* _corestatistics.c - the numbers of an arena as a dict, for `velo status`; its lock; is it whole?
 *
 * In    struct velo_statistics, taken without the GIL
 * Out   one key per number; what they mean is in velo.h */
#include "_coremodule.h"

#include <string.h>

/* Add `value` (stolen) to `dict`; 0 keeps the chain of calls going, -1 ends it. */
static int set_item(PyObject *dict, const char *key, PyObject *value)
{
    if (value == NULL)
        return -1;
    const int rc = PyDict_SetItemString(dict, key, value);
    Py_DECREF(value);
    return rc;
}

static int write_number(PyObject *dict, const char *key, uint64_t value)
{
    return set_item(dict, key, PyLong_FromUnsignedLongLong(value));
}

static PyObject *number_list(const uint64_t *values, uint32_t count)
{
    PyObject *list = PyList_New((Py_ssize_t)count);
    for (uint32_t i = 0; list != NULL && i < count; i++)
        if (PyList_SetItem(list, (Py_ssize_t)i, PyLong_FromUnsignedLongLong(values[i])) != 0)
            Py_CLEAR(list);
    return list;
}

static PyObject *name_counts(const struct velo_name_count *names, uint32_t count)
{
    PyObject *dict = PyDict_New();
    for (uint32_t i = 0; dict != NULL && i < count && i < VELO_NAMES_MAX; i++) {
        char name[sizeof names[i].name + 1] = {0};
        memcpy(name, names[i].name, sizeof names[i].name);
        PyObject *key = PyUnicode_DecodeUTF8(name, (Py_ssize_t)strlen(name), "replace");
        PyObject *pair = Py_BuildValue("KK", (unsigned long long)names[i].count,
                                       (unsigned long long)names[i].nanoseconds);
        if (key == NULL || pair == NULL || PyDict_SetItem(dict, key, pair) != 0)
            Py_CLEAR(dict);
        Py_XDECREF(key);
        Py_XDECREF(pair);
    }
    return dict;
}

static int fill_statistics(PyObject *dict, const struct velo_statistics *s, uint32_t shards)
{
    const struct {
        const char *key;
        uint64_t value;
    } numbers[] = {
        {"max_memory_bytes", s->max_memory_bytes},
        {"used_bytes", s->used_bytes},
        {"metadata_bytes", s->metadata_bytes},
        {"directories", s->directories},
        {"symlinks", s->symlinks},
        {"others", s->others},
        {"unlinked", s->unlinked},
        {"dirty_files", s->dirty_files},
        {"dirty_bytes", s->dirty_bytes},
        {"unstored_files", s->unstored_files},
        {"activity", s->activity},
        {"live_processes", s->live_processes},
        {"writebacks", s->writebacks},
        {"evictions", s->evictions},
        {"loads", s->loads},
        {"recoveries", s->recoveries},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++)
        if (write_number(dict, numbers[i].key, numbers[i].value) != 0)
            return -1;
    return set_item(dict, "slice_used_bytes", number_list(s->slice_used_bytes, shards)) ||
           set_item(dict, "slice_limit_bytes", number_list(s->slice_limit_bytes, shards)) ||
           set_item(dict, "files", number_list(s->files, 4)) ||
           set_item(dict, "file_bytes", number_list(s->file_bytes, 4)) ||
           set_item(dict, "escapes", number_list(s->escapes, VELO_ESCAPE_COUNT)) ||
           set_item(dict, "paused", PyBool_FromLong(s->paused != 0)) ||
           set_item(dict, "interposed", name_counts(s->interposed, s->interposed_count)) ||
           set_item(dict, "opaque", name_counts(s->opaque, s->opaque_count)) ||
           set_item(dict, "raw", name_counts(s->raw, s->raw_count));
}

PyObject *velo_region_statistics(PyObject *self, PyObject *unused)
{
    (void)unused;
    struct velo_statistics *statistics = PyMem_Calloc(1, sizeof *statistics);
    if (statistics == NULL)
        return PyErr_NoMemory();
    int rc;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_statistics(region_of(self), statistics);
    Py_END_ALLOW_THREADS
    PyObject *dict = rc < 0 ? raise_errno(rc) : PyDict_New();
    if (dict != NULL && fill_statistics(dict, statistics, velo_shard_count(region_of(self))) != 0)
        Py_CLEAR(dict);
    PyMem_Free(statistics);
    return dict;
}

PyObject *velo_region_lock_owner(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyLong_FromUnsignedLong(velo_lock_owner(region_of(self)));
}

PyObject *velo_region_check(PyObject *self, PyObject *unused)
{
    char why[512] = "";
    (void)unused;
    int rc;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_check(region_of(self), why, sizeof why);
    Py_END_ALLOW_THREADS
    if (rc == 0)
        Py_RETURN_NONE;
    return rc == -EUCLEAN ? PyUnicode_DecodeFSDefault(why) : raise_errno(rc);
}
