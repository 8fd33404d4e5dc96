#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <memory>
#include <utility>

#include "neunets/client.h"

namespace neunets {

// The error that the engine raised, out of a call's status and its details.
Error ToError(const grpc::Status& status);

// The tries of one call, by the contract's table: lost, it is made again after a pause that doubles; too slow, once
// more with twice the time; refused, it is not repeated. A stream that has come on starts the count again.
class Tries {
 public:
  Tries(const Patience& patience, std::chrono::milliseconds deadline) : patience_(patience), deadline_(deadline) {}

  // Makes the call (context, response) -> status until it succeeds.
  template <typename Response, typename Method>
  Response Call(const Method& method) {
    while (true) {
      grpc::ClientContext context;
      SetDeadline(context);
      Response response;
      const grpc::Status status = method(&context, &response);
      if (status.ok()) return response;
      Failed(status);
    }
  }

  void SetDeadline(grpc::ClientContext& context) const;
  void CameOn();
  // Returns when it is time for the next try; throws where there is none.
  void Failed(const grpc::Status& status);

 private:
  void Pause() const;

  const Patience patience_;
  const std::chrono::milliseconds deadline_;
  int lost_ = 0;
  bool extended_ = false;
};

// One call of a server's stream. It ends with the object, also where the reader throws.
template <typename Response>
class Stream {
 public:
  // `open` starts the call: context -> reader.
  template <typename Open>
  Stream(const Tries& tries, const Open& open) {
    tries.SetDeadline(context_);
    reader_ = open(&context_);
  }

  ~Stream() {
    if (finished_) return;
    context_.TryCancel();
    reader_->Finish();
  }

  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  bool Read(Response* response) { return reader_->Read(response); }

  // Only once Read has returned false.
  grpc::Status Finish() {
    finished_ = true;
    return reader_->Finish();
  }

 private:
  grpc::ClientContext context_;
  std::unique_ptr<grpc::ClientReader<Response>> reader_;
  bool finished_ = false;
};

}  // namespace neunets
