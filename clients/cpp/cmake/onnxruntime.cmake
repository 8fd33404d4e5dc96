# The target onnxruntime, where both its C header (`make onnxruntime` fetches it) and a shared library of the same or a
# later version (that of the Python wheel) are found; otherwise the example does not predict.

set(NEUNETS_ONNXRUNTIME_INCLUDE ${CMAKE_CURRENT_BINARY_DIR}/onnxruntime CACHE PATH "Folder of onnxruntime_c_api.h")
if(NOT NEUNETS_ONNXRUNTIME_LIBRARY)
  execute_process(
    COMMAND ${NEUNETS_PYTHON} -c "import importlib.util, pathlib
package = pathlib.Path(importlib.util.find_spec('onnxruntime').origin).parent
print(next(package.glob('capi/libonnxruntime.so.*'), ''))"
    OUTPUT_VARIABLE FOUND
    OUTPUT_STRIP_TRAILING_WHITESPACE
    ERROR_QUIET
  )
  set(NEUNETS_ONNXRUNTIME_LIBRARY "${FOUND}" CACHE FILEPATH "ONNX Runtime's shared library")
endif()

if(EXISTS ${NEUNETS_ONNXRUNTIME_INCLUDE}/onnxruntime_c_api.h AND EXISTS "${NEUNETS_ONNXRUNTIME_LIBRARY}")
  # The wheel names its file by the whole version, while the loader looks for the name inside it.
  set(LINK ${CMAKE_CURRENT_BINARY_DIR}/onnxruntime/libonnxruntime.so.1)
  file(MAKE_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/onnxruntime)
  file(CREATE_LINK ${NEUNETS_ONNXRUNTIME_LIBRARY} ${LINK} SYMBOLIC)
  add_library(onnxruntime SHARED IMPORTED)
  set_target_properties(
    onnxruntime PROPERTIES IMPORTED_LOCATION ${LINK} INTERFACE_INCLUDE_DIRECTORIES ${NEUNETS_ONNXRUNTIME_INCLUDE}
  )
else()
  message(STATUS "ONNX Runtime's header or library is missing: the example stops after the download")
endif()
