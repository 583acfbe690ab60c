/* _coretrace.c - the ring of events for Python: switching topics, reading, what an event's text is.
 *
 * In    a region
 * Out   tuples of numbers; the words are events.def's, put together in velo.router */
#include "_coremodule.h"

#include <string.h>

/* trace_topics(bits) -> the bits until now. */
PyObject *velo_region_trace_topics(PyObject *self, PyObject *args)
{
    unsigned topics;
    if (!PyArg_ParseTuple(args, "I", &topics))
        return NULL;
    return PyLong_FromUnsignedLong(velo_trace_topics(region_of(self), topics));
}

static void append(void *context, const struct velo_event_info *event)
{
    PyObject *tuple = Py_BuildValue("KIIKK", (unsigned long long)event->ns, event->pid, event->id,
                                    (unsigned long long)event->a, (unsigned long long)event->b);
    if (tuple != NULL && !PyErr_Occurred())
        PyList_Append(context, tuple);
    Py_XDECREF(tuple);
}

/* trace_read(from) -> ([(ns, pid, id, a, b)...], number of the next event). */
PyObject *velo_region_trace_read(PyObject *self, PyObject *args)
{
    unsigned long long from;
    if (!PyArg_ParseTuple(args, "K", &from))
        return NULL;
    PyObject *list = PyList_New(0);
    if (list == NULL)
        return NULL;
    const uint64_t next = velo_trace_read(region_of(self), from, append, list);
    if (!PyErr_Occurred())
        return Py_BuildValue("NK", list, (unsigned long long)next);
    Py_DECREF(list);
    return NULL;
}

/* trace_program(index) -> the name in that place of the table of opaque programs. */
PyObject *velo_region_trace_program(PyObject *self, PyObject *args)
{
    unsigned index;
    if (!PyArg_ParseTuple(args, "I", &index))
        return NULL;
    size_t length;
    const char *name = velo_opaque_name(region_of(self), index, &length);
    return PyUnicode_DecodeUTF8(name, (Py_ssize_t)length, "replace");
}

/* trace_events() -> [(topic, text)...], by id. */
PyObject *velo_core_trace_events(PyObject *module, PyObject *unused)
{
    (void)module, (void)unused;
    PyObject *list = PyList_New(0);
    const char *topic, *text;
    for (uint32_t id = 0; list != NULL && (text = velo_trace_text(id, &topic)) != NULL; id++) {
        PyObject *pair = Py_BuildValue("ss", topic, text);
        if (pair == NULL || PyList_Append(list, pair) != 0)
            Py_CLEAR(list);
        Py_XDECREF(pair);
    }
    return list;
}
