#include "tries.h"

#include <algorithm>
#include <cmath>
#include <random>
#include <string>
#include <thread>

#include "google/rpc/error_details.pb.h"
#include "google/rpc/status.pb.h"

namespace neunets {
namespace {

constexpr char kDomain[] = "synthesizer.neunets";

// The engine, or the way to it, was lost: the same call may succeed later.
bool IsLost(const Error& error) {
  const bool cancelled_by_the_engine = error.code() == grpc::StatusCode::CANCELLED && error.reason().empty();
  return error.code() == grpc::StatusCode::UNAVAILABLE || cancelled_by_the_engine;
}

}  // namespace

Error ToError(const grpc::Status& status) {
  std::string reason, field;
  google::rpc::Status details;
  if (details.ParseFromString(status.error_details())) {
    for (const auto& detail : details.details()) {
      google::rpc::ErrorInfo info;
      google::rpc::BadRequest bad;
      if (detail.UnpackTo(&info)) {
        if (info.domain() == kDomain) reason = info.reason();
      } else if (detail.UnpackTo(&bad) && bad.field_violations_size() > 0) {
        field = bad.field_violations(0).field();
      }
    }
  }
  const bool is_silent = status.error_code() == grpc::StatusCode::UNAVAILABLE && reason.empty();
  std::string text = status.error_message();
  if (text.empty()) text = "gRPC code " + std::to_string(status.error_code());
  return Error(status.error_code(), reason, field, is_silent ? "the engine does not answer: " + text : text);
}

void Tries::SetDeadline(grpc::ClientContext& context) const {
  context.set_deadline(std::chrono::system_clock::now() + (extended_ ? 2 : 1) * deadline_);
}

void Tries::CameOn() {
  lost_ = 0;
  extended_ = false;
}

void Tries::Failed(const grpc::Status& status) {
  const Error error = ToError(status);
  if (error.code() == grpc::StatusCode::DEADLINE_EXCEEDED && !extended_) {
    extended_ = true;
    return;
  }
  if (!IsLost(error) || ++lost_ >= patience_.tries) throw error;
  Pause();
}

void Tries::Pause() const {
  static thread_local std::mt19937 random{std::random_device{}()};
  const double doubled = static_cast<double>(patience_.first_pause.count()) * std::pow(2.0, lost_ - 1);
  const double longest = std::min(doubled, static_cast<double>(patience_.longest_pause.count()));
  const double pause_ms = std::uniform_real_distribution<double>(longest / 2, longest)(random);
  std::this_thread::sleep_for(std::chrono::duration<double, std::milli>(pause_ms));
}

}  // namespace neunets
