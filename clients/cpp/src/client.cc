#include "neunets/client.h"

#include <cstdio>
#include <random>
#include <regex>
#include <utility>

#include "download.h"
#include "tries.h"

namespace neunets {
namespace {

using namespace std::chrono_literals;
namespace v1 = service::v1;
using Deadline = std::chrono::milliseconds;

constexpr Deadline kRegister = 1h;
constexpr Deadline kDownload = 10min;
// The engine says something every 15 s: a call that hangs is noticed.
constexpr Deadline kWatch = 1min;
// The channel's own pauses between connections would grow to minutes.
constexpr int kFirstReconnectMs = 100;
constexpr int kLongestReconnectMs = 1000;

bool HasEnded(v1::RunState state) {
  return state == v1::RUN_STATE_COMPLETED || state == v1::RUN_STATE_STOPPED || state == v1::RUN_STATE_FAILED ||
         state == v1::RUN_STATE_PAUSED;
}

// A UUID of version 4.
std::string NewRequestId() {
  std::random_device random;
  std::uint32_t words[4] = {random(), random(), random(), random()};
  words[1] = (words[1] & 0xffff0fffu) | 0x4000u;
  words[2] = (words[2] & 0x3fffffffu) | 0x80000000u;
  char text[37];
  std::snprintf(text, sizeof text, "%08x-%04x-%04x-%04x-%04x%08x", words[0], words[1] >> 16, words[1] & 0xffffu,
                words[2] >> 16, words[2] & 0xffffu, words[3]);
  return text;
}

// Whether a target is on this machine, where no proxy of the environment leads.
bool IsLocal(const std::string& target) {
  static const std::regex local(
      R"(unix(-abstract)?:.*|((dns|ipv4|ipv6):(///)?)?(localhost|127(\.[0-9]{1,3}){3}|\[::1\])(:[0-9]+)?)");
  return std::regex_match(target, local);
}

}  // namespace

Client::Client(std::shared_ptr<grpc::Channel> channel, Patience patience)
    : channel_(std::move(channel)),
      datasets_(v1::Datasets::NewStub(channel_)),
      runs_(v1::Runs::NewStub(channel_)),
      models_(v1::Models::NewStub(channel_)),
      patience_(patience) {}

Client Client::Connect(const std::string& target, Patience patience) {
  return Connect(target, grpc::InsecureChannelCredentials(), patience);
}

Client Client::Connect(const std::string& target, const std::shared_ptr<grpc::ChannelCredentials>& credentials,
                       Patience patience) {
  grpc::ChannelArguments arguments;
  arguments.SetInt(GRPC_ARG_INITIAL_RECONNECT_BACKOFF_MS, kFirstReconnectMs);
  arguments.SetInt(GRPC_ARG_MAX_RECONNECT_BACKOFF_MS, kLongestReconnectMs);
  if (IsLocal(target)) arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  return Client(grpc::CreateCustomChannel(target, credentials, arguments), patience);
}

v1::Dataset Client::Register(const std::string& source, std::uint64_t seed) {
  v1::RegisterDatasetRequest request;
  request.set_source(source);
  request.set_seed(seed);
  return Register(request, [](const v1::ReadProgress&) {});
}

v1::Dataset Client::Register(const v1::RegisterDatasetRequest& request, const Progress& tell) {
  Tries tries(patience_, kRegister);
  while (true) {
    Stream<v1::RegisterDatasetResponse> responses(
        tries, [&](grpc::ClientContext* context) { return datasets_->Register(context, request); });
    v1::Dataset dataset;
    v1::RegisterDatasetResponse response;
    while (responses.Read(&response)) {
      if (response.has_progress()) {
        tell(response.progress());
      } else {
        dataset = response.dataset();
      }
    }
    const grpc::Status status = responses.Finish();
    if (status.ok()) return dataset;
    tries.Failed(status);
  }
}

v1::Run Client::Start(const v1::RunSpec& spec) { return Start(spec, NewRequestId()); }

v1::Run Client::Start(const v1::RunSpec& spec, const std::string& request_id) {
  v1::CreateRunRequest request;
  request.set_request_id(request_id);
  *request.mutable_spec() = spec;
  return Tries(patience_, patience_.call).Call<v1::Run>([&](grpc::ClientContext* context, v1::Run* run) {
    return runs_->Create(context, request, run);
  });
}

v1::Run Client::Get(const std::string& run) {
  v1::GetRunRequest request;
  request.set_name(run);
  return Tries(patience_, patience_.call).Call<v1::Run>([&](grpc::ClientContext* context, v1::Run* found) {
    return runs_->Get(context, request, found);
  });
}

void Client::Watch(const std::string& run, std::uint64_t after, const Watcher& see) {
  v1::WatchRunRequest request;
  request.set_name(run);
  request.set_after_seq(after);
  Tries tries(patience_, kWatch);
  while (true) {
    Stream<v1::WatchRunResponse> responses(
        tries, [&](grpc::ClientContext* context) { return runs_->Watch(context, request); });
    v1::WatchRunResponse response;
    while (responses.Read(&response)) {
      tries.CameOn();
      if (!response.has_event()) continue;
      request.set_after_seq(response.event().seq());
      if (!see(response)) return;
    }
    const grpc::Status status = responses.Finish();
    if (!status.ok()) {
      tries.Failed(status);
    } else if (HasEnded(Get(run).state())) {  // an engine that goes down in good order ends its streams, too
      return;
    }
  }
}

v1::Run Client::WaitFor(const std::string& run) {
  Watch(run, Get(run).seq(), [](const v1::WatchRunResponse&) { return true; });
  return Get(run);
}

v1::Run Client::Stop(const std::string& run, v1::StopRunRequest::Mode mode) {
  v1::StopRunRequest request;
  request.set_name(run);
  request.set_mode(mode);
  return Tries(patience_, patience_.call).Call<v1::Run>([&](grpc::ClientContext* context, v1::Run* stopped) {
    return runs_->Stop(context, request, stopped);
  });
}

std::vector<v1::Model> Client::Models(const std::string& run) {
  std::vector<v1::Model> found;
  v1::ListModelsRequest request;
  request.set_parent(run);
  do {
    const auto page = Tries(patience_, patience_.call)
                          .Call<v1::ListModelsResponse>([&](grpc::ClientContext* context, auto* response) {
                            return models_->List(context, request, response);
                          });
    found.insert(found.end(), page.models().begin(), page.models().end());
    request.set_page_token(page.next_page_token());
  } while (!request.page_token().empty());
  return found;
}

std::vector<std::filesystem::path> Client::Download(const std::string& model, const std::filesystem::path& folder) {
  v1::ExportModelRequest request;
  request.set_name(model);
  const auto exported = Tries(patience_, patience_.call)
                            .Call<v1::ExportModelResponse>([&](grpc::ClientContext* context, auto* response) {
                              return models_->Export(context, request, response);
                            });
  std::filesystem::create_directories(folder);
  std::vector<std::filesystem::path> written;
  for (const v1::Artifact& artifact : exported.model().artifacts()) {
    written.push_back(DownloadFile(*models_, model, artifact, folder, Tries(patience_, kDownload)));
  }
  return written;
}

}  // namespace neunets
