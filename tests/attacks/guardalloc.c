#define NPY_NO_DEPRECATED_API NPY_1_22_API_VERSION
#define NPY_TARGET_VERSION NPY_1_22_API_VERSION
#include <Python.h>
#include <numpy/arrayobject.h>
#include <sys/mman.h>
#include <string.h>
#define P 4096UL
#define LIMIT (1UL<<22)
/* every array ends (up to its alignment of 8) where an unreadable page begins */
static size_t span(size_t n){ return (n + P - 1)/P*P; }
static void *g_malloc(void *c, size_t n){
  if (n > LIMIT) return malloc(n);
  size_t m = ((n?n:1)+7)&~7UL, s = span(m);
  char *b = mmap(0, s+P, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0);
  if (b == MAP_FAILED) return NULL;
  mprotect(b+s, P, PROT_NONE);
  return b + s - m;
}
static void *g_calloc(void *c, size_t a, size_t e){
  if (e && a > ((size_t)-1)/e) return NULL;
  if (a*e > LIMIT) return calloc(a, e);
  return g_malloc(c, a*e); }
static void g_free(void *c, void *p, size_t n){
  if (!p) return;
  if (n > LIMIT) { free(p); return; }
  size_t m = ((n?n:1)+7)&~7UL, s = span(m);
  munmap((char*)p + m - s, s+P);
}
static void *g_realloc(void *c, void *p, size_t n);
static PyDataMem_Handler H = {"guard", 1, {NULL, g_malloc, g_calloc, g_realloc, g_free}};
static void *g_realloc(void *c, void *p, size_t n){ return NULL; }
static PyObject *install(PyObject *s, PyObject *a){
  PyObject *cap = PyCapsule_New(&H, "mem_handler", NULL);
  PyObject *old = PyDataMem_SetHandler(cap); Py_XDECREF(old); Py_RETURN_NONE; }
static PyMethodDef M[] = {{"install", install, METH_NOARGS, ""},{0}};
static struct PyModuleDef D = {PyModuleDef_HEAD_INIT, "guardalloc", 0, -1, M};
PyMODINIT_FUNC PyInit_guardalloc(void){ import_array(); return PyModule_Create(&D); }
