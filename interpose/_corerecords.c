/* _corerecords.c - what the sealer (velo.shards.replay) does a thousand times a step: the records of a step's log
 * (preload/replay/log.h), and lists of its facts.
 *
 * In    the bytes of a log; numbers; bytes to be named by their digest
 * Out   bytes, as many objects as there are records; what they mean is velo.shards.replay's business
 * Never a read beyond the end, whatever the bytes are */
#include "_coremodule.h"

#include <stdlib.h>
#include <string.h>

#include "kernel/sha256.h"

struct head { /* struct velo_record */
    uint32_t size;
    uint16_t kind, flags;
    uint32_t process, length;
};
_Static_assert(sizeof(struct head) == 16, "as the log has it");

struct parsed {
    PyObject *keys, *processes, *lives, *deeds;
    PyObject *known; /* keys of questions, of earlier logs too; borrowed */
    PyObject *current; /* process: its life */
    PyObject *process, *life; /* of the last record; borrowed */
    uint32_t number;
};

/* Kind, flags and payload: the same question has the same key, whatever program asked. */
static PyObject *key_of(const struct head *head, const char *payload)
{
    PyObject *key = PyBytes_FromStringAndSize(NULL, (Py_ssize_t)head->length + 4);
    if (key == NULL)
        return NULL;
    char *bytes = PyBytes_AsString(key);
    memcpy(bytes, &head->kind, 4);
    memcpy(bytes + 4, payload, head->length);
    return key;
}

/* The same object for equal keys: it has its hash already, and is found without a look at its bytes. */
static PyObject *the_known(PyObject *known, PyObject *key)
{
    PyObject *first = PyDict_GetItemWithError(known, key);
    if (first == NULL && (PyErr_Occurred() || PyDict_SetItem(known, key, key) != 0)) {
        Py_DECREF(key);
        return NULL;
    }
    if (first == NULL)
        return key;
    Py_INCREF(first);
    Py_DECREF(key);
    return first;
}

/* The list of what a process asks from its last program on: a new one when it begins with that. */
static int begin_life(struct parsed *to, int is_new)
{
    PyObject *life = is_new ? NULL : PyDict_GetItemWithError(to->current, to->process);
    if (life == NULL && PyErr_Occurred())
        return -1;
    to->life = life;
    if (life != NULL)
        return 0;
    life = PyList_New(0);
    PyObject *both = life == NULL ? NULL : PyTuple_Pack(2, to->process, life);
    int rc = both == NULL ? -1 : PyList_Append(to->lives, both);
    if (rc == 0)
        rc = PyDict_SetItem(to->current, to->process, life);
    Py_XDECREF(both);
    Py_XDECREF(life);
    to->life = life;
    return rc;
}

static int enter_process(struct parsed *to, uint32_t number)
{
    PyObject *process = PyLong_FromUnsignedLong(number);
    const int rc = process == NULL ? -1 : PyList_Append(to->processes, process);
    Py_XDECREF(process); /* the list has it */
    to->process = process;
    to->number = number;
    return rc;
}

static int add(struct parsed *to, const struct head *head, const char *payload,
               unsigned long long questions, unsigned program)
{
    const int is_question = head->kind < 64 && (questions >> head->kind & 1) != 0;
    const Py_ssize_t position = PyList_Size(to->keys);
    const int is_other = position == 0 || to->number != head->process;
    PyObject *key = key_of(head, payload);
    if (key != NULL && is_question)
        key = the_known(to->known, key);
    int rc = key == NULL ? -1 : PyList_Append(to->keys, key);
    if (rc == 0 && is_other)
        rc = enter_process(to, head->process);
    else if (rc == 0)
        rc = PyList_Append(to->processes, to->process);
    if (rc == 0 && (is_other || head->kind == program))
        rc = begin_life(to, head->kind == program);
    if (rc == 0 && is_question)
        rc = PyList_Append(to->life, key);
    if (rc == 0 && (!is_question || head->kind == program)) {
        rc = list_take(to->deeds, PyLong_FromSsize_t(position));
    }
    Py_XDECREF(key);
    return rc;
}

static int parse(struct parsed *to, const char *log, size_t size, size_t at, size_t end,
                 unsigned long long questions, unsigned program)
{
    while (at < end) {
        struct head head;
        if (at > size || size - at < sizeof head)
            break;
        memcpy(&head, log + at, sizeof head);
        const size_t needed = sizeof head + (size_t)head.length;
        if (head.size < needed || size - at < needed)
            break;
        if (add(to, &head, log + at + sizeof head, questions, program) != 0)
            return -1;
        at += head.size;
    }
    if (at >= end)
        return 0;
    PyErr_SetString(PyExc_ValueError, "a record is torn");
    return -1;
}

/* records(log, at, end, questions, program, known) -> (keys, processes, lives, deeds): of each record from byte `at` up
 * to `end` its key and its process; of each process, from each record of kind `program` on, the keys of the kinds that
 * have their bit in `questions`; and the positions of the other records, and of programs. `known`: a dict that makes
 * equal keys one object, for all logs. ValueError: a record is torn. */
PyObject *velo_core_records(PyObject *module, PyObject *args)
{
    const char *log;
    Py_ssize_t size, at, end;
    unsigned long long questions;
    unsigned program;
    PyObject *known;
    (void)module;
    if (!PyArg_ParseTuple(args, "y#nnKIO!", &log, &size, &at, &end, &questions, &program,
                          &PyDict_Type, &known))
        return NULL;
    struct parsed to = {.known = known,
                        .keys = PyList_New(0),
                        .processes = PyList_New(0),
                        .lives = PyList_New(0),
                        .deeds = PyList_New(0),
                        .current = PyDict_New()};
    const int made = to.keys != NULL && to.processes != NULL && to.lives != NULL &&
                     to.deeds != NULL && to.current != NULL;
    PyObject *result = NULL;
    if (made && parse(&to, log, (size_t)size, (size_t)at, (size_t)end, questions, program) == 0)
        result = PyTuple_Pack(4, to.keys, to.processes, to.lives, to.deeds);
    Py_XDECREF(to.keys);
    Py_XDECREF(to.processes);
    Py_XDECREF(to.lives);
    Py_XDECREF(to.deeds);
    Py_XDECREF(to.current);
    return result;
}

/* ---- lists of facts -------------------------------------------------------------------------- */

static int compare(const void *one, const void *other)
{
    const uint64_t a = *(const uint64_t *)one, b = *(const uint64_t *)other;
    return a < b ? -1 : a > b;
}

/* The numbers that `each`, which can be iterated, has; to be freed with PyMem_Free. */
static uint64_t *numbers_of(PyObject *each, size_t *count)
{
    PyObject *list = PySequence_List(each);
    if (list == NULL)
        return NULL;
    const Py_ssize_t length = PyList_Size(list);
    uint64_t *numbers = PyMem_Malloc(((size_t)length + 1) * sizeof *numbers);
    if (numbers == NULL)
        PyErr_NoMemory();
    for (Py_ssize_t i = 0; numbers != NULL && i < length; i++) {
        numbers[i] = PyLong_AsUnsignedLongLong(PyList_GetItem(list, i));
        if (numbers[i] == (uint64_t)-1 && PyErr_Occurred()) {
            PyMem_Free(numbers);
            numbers = NULL;
        }
    }
    *count = (size_t)length;
    Py_DECREF(list);
    return numbers;
}

/* sorted_low(numbers) -> the low halves of these numbers, in the order of the whole ones. */
PyObject *velo_core_sorted_low(PyObject *module, PyObject *each)
{
    size_t count;
    (void)module;
    uint64_t *numbers = numbers_of(each, &count);
    if (numbers == NULL)
        return NULL;
    qsort(numbers, count, sizeof *numbers, compare);
    PyObject *result = PyList_New((Py_ssize_t)count);
    for (size_t i = 0; result != NULL && i < count; i++) {
        PyObject *low = PyLong_FromUnsignedLong((uint32_t)numbers[i]);
        if (low == NULL || PyList_SetItem(result, (Py_ssize_t)i, low) != 0)
            Py_CLEAR(result);
    }
    PyMem_Free(numbers);
    return result;
}

/* grouped(numbers, mix, mask) -> these 32-bit numbers, packed, in parts: each ends with one of which `mix` times it
 * has no bit of `mask`, or with the last. */
PyObject *velo_core_grouped(PyObject *module, PyObject *args)
{
    PyObject *each;
    unsigned long long mix, mask;
    size_t count, begin = 0;
    (void)module;
    if (!PyArg_ParseTuple(args, "OKK", &each, &mix, &mask))
        return NULL;
    uint64_t *numbers = numbers_of(each, &count);
    if (numbers == NULL)
        return NULL;
    uint32_t *packed = PyMem_Malloc((count + 1) * sizeof *packed);
    PyObject *groups = packed == NULL ? PyErr_NoMemory() : PyList_New(0);
    int rc = groups == NULL ? -1 : 0;
    for (size_t i = 0; rc == 0 && i < count; i++) {
        packed[i] = (uint32_t)numbers[i];
        if ((numbers[i] * mix & mask) == 0 || i + 1 == count) {
            const size_t bytes = (i + 1 - begin) * sizeof *packed;
            rc = list_take(groups, PyBytes_FromStringAndSize((const char *)(packed + begin),
                                                             (Py_ssize_t)bytes));
            begin = i + 1;
        }
    }
    PyMem_Free(packed);
    PyMem_Free(numbers);
    if (rc != 0)
        Py_CLEAR(groups);
    return groups;
}

/* sha256(bytes) -> its digest.  hashlib would do, but for the OpenSSL that comes with it: 5 ms. */
PyObject *velo_core_sha256(PyObject *module, PyObject *bytes)
{
    char *text;
    Py_ssize_t size;
    uint8_t digest[VELO_SHA256_BYTES];
    struct velo_sha256 hash;
    (void)module;
    if (PyBytes_AsStringAndSize(bytes, &text, &size) != 0)
        return NULL;
    velo_sha256_begin(&hash);
    velo_sha256_add(&hash, text, (size_t)size);
    velo_sha256_end(&hash, digest);
    return PyBytes_FromStringAndSize((const char *)digest, sizeof digest);
}
