# The target neunets_protos: messages and stubs of the service API, and gRPC's error details.

execute_process(
  COMMAND ${NEUNETS_PYTHON} -c "import pathlib, google.rpc.status_pb2 as of
print(pathlib.Path(of.__file__).parents[2])"
  OUTPUT_VARIABLE GOOGLEAPIS
  OUTPUT_STRIP_TRAILING_WHITESPACE
  RESULT_VARIABLE FAILED
)
if(FAILED OR NOT EXISTS ${GOOGLEAPIS}/google/rpc/error_details.proto)
  message(FATAL_ERROR "${NEUNETS_PYTHON} has no google/rpc/error_details.proto: set NEUNETS_PYTHON to one that has "
                      "googleapis-common-protos, or call `make setup` in the repository")
endif()

set(GENERATED ${CMAKE_CURRENT_BINARY_DIR}/generated)
file(MAKE_DIRECTORY ${GENERATED})
set(SOURCES)

# `root` is the import path that `proto` is relative to; further arguments: "grpc" for stubs, too.
function(generate root proto)
  string(REGEX REPLACE "\\.proto$" "" stem ${proto})
  set(outputs ${GENERATED}/${stem}.pb.cc ${GENERATED}/${stem}.pb.h)
  set(stubs)
  if("grpc" IN_LIST ARGN)
    list(APPEND outputs ${GENERATED}/${stem}.grpc.pb.cc ${GENERATED}/${stem}.grpc.pb.h)
    set(stubs --grpc_out=${GENERATED} --plugin=protoc-gen-grpc=$<TARGET_FILE:gRPC::grpc_cpp_plugin>)
  endif()
  add_custom_command(
    OUTPUT ${outputs}
    COMMAND protobuf::protoc --proto_path=${root} --cpp_out=${GENERATED} ${stubs} ${root}/${proto}
    DEPENDS ${root}/${proto}
    VERBATIM
  )
  set(SOURCES ${SOURCES} ${outputs} PARENT_SCOPE)
endfunction()

generate(${GOOGLEAPIS} google/rpc/error_details.proto)
generate(${GOOGLEAPIS} google/rpc/status.proto)
generate(${REPOSITORY}/protos neunets/graph/v1/graph.proto)
generate(${REPOSITORY}/protos neunets/synthesizer/v1/synthesizer.proto)
generate(${REPOSITORY}/protos neunets/service/v1/service.proto grpc)

add_library(neunets_protos STATIC ${SOURCES})
target_include_directories(neunets_protos SYSTEM PUBLIC ${GENERATED})
target_link_libraries(neunets_protos PUBLIC gRPC::grpc++ protobuf::libprotobuf)
