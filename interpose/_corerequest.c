/* _corerequest.c - one question to the router, through the client that the preload library has.
 *
 * In    a verb and its frames
 * Out   the reply's frames, or the code and message of a refusal */
#include "_coremodule.h"

#include <string.h>

#include "wire/zmtp.h"

#define PAYLOAD_COUNT_MAX 8
#define REPLY_BYTES_MAX (1u << 20)

/* The packed frames of a reply (u32 length, bytes) as a list of bytes. */
static PyObject *frame_list(const unsigned char *packed, size_t size)
{
    PyObject *list = PyList_New(0);
    size_t at = 0;
    while (list != NULL && size - at >= sizeof(uint32_t)) {
        uint32_t length;
        memcpy(&length, packed + at, sizeof length);
        at += sizeof length;
        if (length > size - at)
            break;
        PyObject *frame = PyBytes_FromStringAndSize((const char *)packed + at, (Py_ssize_t)length);
        if (frame == NULL || PyList_Append(list, frame) != 0)
            Py_CLEAR(list);
        Py_XDECREF(frame);
        at += length;
    }
    return list;
}

/* request(socket, verb, [bytes...], timeout_ms) -> (0, [bytes...]) or (code, message as bytes). */
PyObject *velo_core_request(PyObject *module, PyObject *args)
{
    const char *socket_path, *verb;
    PyObject *list;
    unsigned timeout_ms;
    struct velo_bytes payload[PAYLOAD_COUNT_MAX];
    (void)module;
    if (!PyArg_ParseTuple(args, "ysO!I", &socket_path, &verb, &PyList_Type, &list, &timeout_ms))
        return NULL;
    const Py_ssize_t count = PyList_Size(list);
    if (count > PAYLOAD_COUNT_MAX)
        return PyErr_Format(PyExc_ValueError, "%zd frames, at most %d", count, PAYLOAD_COUNT_MAX);
    for (Py_ssize_t i = 0; i < count; i++) {
        char *bytes;
        Py_ssize_t size;
        if (PyBytes_AsStringAndSize(PyList_GetItem(list, i), &bytes, &size) != 0)
            return NULL;
        payload[i] = (struct velo_bytes){.data = bytes, .length = (size_t)size};
    }
    unsigned char *reply = PyMem_Malloc(REPLY_BYTES_MAX);
    if (reply == NULL)
        return PyErr_NoMemory();
    size_t length = 0;
    int rc;
    Py_BEGIN_ALLOW_THREADS
    rc = velo_request(socket_path, verb, payload, (unsigned)count, timeout_ms, reply,
                      REPLY_BYTES_MAX, &length);
    Py_END_ALLOW_THREADS
    PyObject *result;
    if (rc < 0)
        result = raise_errno(rc);
    else if (rc > 0) /* an error reply: the buffer is its message */
        result = Py_BuildValue("iy#", rc, (const char *)reply, (Py_ssize_t)length);
    else
        result = Py_BuildValue("iN", rc, frame_list(reply, length));
    PyMem_Free(reply);
    return result;
}
