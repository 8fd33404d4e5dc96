// An engine's service API in C++'s words. Errors are thrown.
#pragma once

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "neunets/service/v1/service.grpc.pb.h"

namespace neunets {

// What the engine refused, or why it could not be asked. what() is a sentence that a user can act on.
class Error : public std::runtime_error {
 public:
  Error(grpc::StatusCode code, std::string reason, std::string field, const std::string& message)
      : std::runtime_error(message), code_(code), reason_(std::move(reason)), field_(std::move(field)) {}

  // gRPC's code: NOT_FOUND, INVALID_ARGUMENT, FAILED_PRECONDITION, ...
  grpc::StatusCode code() const { return code_; }
  // The engine's own word for it ("REQUEST_ID_REUSED"); empty where the transport failed, not the engine.
  const std::string& reason() const { return reason_; }
  // Path of the field that is refused ("spec.metric"); empty where it is not about a field.
  const std::string& field() const { return field_; }

 private:
  grpc::StatusCode code_;
  std::string reason_;
  std::string field_;
};

// How long a client waits. The contract's: ten tries last about twenty seconds, enough for an engine to start again.
struct Patience {
  // Deadline of a call that answers at once.
  std::chrono::milliseconds call{10'000};
  // Before the second try; each further one doubles it, up to the longest.
  std::chrono::milliseconds first_pause{200};
  std::chrono::milliseconds longest_pause{5'000};
  // In a row without a word from the engine.
  int tries = 10;
};

// Every call has a deadline. One that is lost is made again, one that is too slow once more with twice the time; what
// the engine refuses is thrown as an Error. Safe for use by many threads; a copy shares the connection.
class Client {
 public:
  using Progress = std::function<void(const service::v1::ReadProgress&)>;
  // Returns whether it wants to see more.
  using Watcher = std::function<bool(const service::v1::WatchRunResponse&)>;

  // To the engine at a gRPC target ("127.0.0.1:7390", "unix:/path"), in plain text. The first call connects.
  static Client Connect(const std::string& target, Patience patience = {});
  static Client Connect(const std::string& target, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                        Patience patience = {});

  // Has the engine read a source: a path on its machine, or a built-in data set ("digits"). `seed` is the splits'. The
  // same content gives the same data set.
  service::v1::Dataset Register(const std::string& source, std::uint64_t seed);
  // `tell` hears of the progress at least once a second.
  service::v1::Dataset Register(const service::v1::RegisterDatasetRequest& request, const Progress& tell);

  // Starts one run, however often the call has to be made.
  service::v1::Run Start(const service::v1::RunSpec& spec);
  // The same id (a UUID) gives the same run for 24 hours; with another spec it is refused with ALREADY_EXISTS.
  service::v1::Run Start(const service::v1::RunSpec& spec, const std::string& request_id);

  service::v1::Run Get(const std::string& run);

  // Shows `see` every event of the run after the one numbered `after` (0: all), and new ones as they come, until the
  // run has ended or is paused, or `see` wants no more. A lost engine is found again and the watch goes on, without gap
  // or repeat. Each response has an event, and the run as it is.
  void Watch(const std::string& run, std::uint64_t after, const Watcher& see);

  // Returns: the run once it is COMPLETED, STOPPED, FAILED or PAUSED.
  service::v1::Run WaitFor(const std::string& run);

  // MODE_FINISH takes the best network so far, MODE_ABORT ends at once without one. A run that has ended refuses it
  // with FAILED_PRECONDITION, also where an answer to the same call was lost.
  service::v1::Run Stop(const std::string& run, service::v1::StopRunRequest::Mode mode);

  // Every trained network of the run, in the order of the trials.
  std::vector<service::v1::Model> Models(const std::string& run);

  // Writes all files of an exported model ("runs/ID/models/TRIAL") into `folder`, each under its name once its SHA-256
  // is right. What an earlier call left behind, whole or in part, is not fetched again.
  // Returns: the files. FAILED_PRECONDITION: the model is not exported. DATA_LOSS: a file arrived damaged.
  // std::filesystem::filesystem_error, std::ios_base::failure: the disk.
  std::vector<std::filesystem::path> Download(const std::string& model, const std::filesystem::path& folder);

  // For what this class has no word for: the generated stubs of neunets/service/v1 work on it.
  const std::shared_ptr<grpc::Channel>& channel() const { return channel_; }

 private:
  Client(std::shared_ptr<grpc::Channel> channel, Patience patience);

  std::shared_ptr<grpc::Channel> channel_;
  std::shared_ptr<service::v1::Datasets::Stub> datasets_;
  std::shared_ptr<service::v1::Runs::Stub> runs_;
  std::shared_ptr<service::v1::Models::Stub> models_;
  Patience patience_;
};

}  // namespace neunets
