// Against a real engine at NEUNETS_SERVER; one short synthesis serves all tests that read.
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <numeric>
#include <sstream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "neunets/client.h"
#include "relay.h"
#include "sha256.h"

namespace {

namespace fs = std::filesystem;
namespace v1 = neunets::service::v1;
using namespace std::chrono_literals;
using grpc::StatusCode;
using neunets::Client;
using neunets::Error;
using Sequence = std::vector<std::uint64_t>;

constexpr int kSkipped = 77;

void Check(bool holds, const std::string& claim) {
  if (!holds) throw std::logic_error("does not hold: " + claim);
}

template <typename Left, typename Right>
void CheckEqual(const Left& left, const Right& right, const std::string& what) {
  std::ostringstream text;
  text << what << ": " << left << " is not " << right;
  if (!(left == right)) throw std::logic_error(text.str());
}

template <typename Call>
Error Refused(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  throw std::logic_error("nothing was thrown");
}

std::string ReadAll(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

Sequence Watched(Client& client, const std::string& run, std::uint64_t after) {
  Sequence found;
  client.Watch(run, after, [&](const v1::WatchRunResponse& response) {
    found.push_back(response.event().seq());
    return true;
  });
  return found;
}

Sequence Numbers(std::uint64_t first, std::uint64_t last) {
  Sequence numbers(last - first + 1);
  std::iota(numbers.begin(), numbers.end(), first);
  return numbers;
}

// Waits 300 ms for a call, and tries three times.
Client Impatient(const std::string& target) {
  neunets::Patience patience;
  patience.call = 300ms;
  patience.first_pause = 1ms;
  patience.longest_pause = 4ms;
  patience.tries = 3;
  return Client::Connect(target, patience);
}

// An empty folder for the time of one test.
class Folder {
 public:
  Folder() : path_(fs::temp_directory_path() / ("neunets-client-test-" + std::to_string(::getpid()))) {
    fs::remove_all(path_);
    fs::create_directories(path_);
  }
  ~Folder() { fs::remove_all(path_); }

  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

class ClientTest {
 public:
  explicit ClientTest(std::string server) : server_(std::move(server)), client_(Client::Connect(server_)) {
    dataset_ = client_.Register("digits", 0);
    run_ = client_.Start(Spec());
    events_ = Watched(client_, run_.name(), 0);
    run_ = client_.Get(run_.name());
    for (const v1::Model& model : client_.Models(run_.name())) {
      if (model.name() == run_.model()) artifacts_.assign(model.artifacts().begin(), model.artifacts().end());
    }
  }

  void ARunOfTwoTrialsIsCompleted() {
    CheckEqual(run_.state(), v1::RUN_STATE_COMPLETED, run_.reason());
    CheckEqual(run_.trials_ended(), 2u, "trials");
    Check(!artifacts_.empty(), "the run's model has files");
  }

  void AWatchGivesEveryEventOnceAndInOrder() {
    Check(events_ == Numbers(1, run_.seq()), "the events are 1, 2, … of the run");
  }

  void AWatchGoesOnAfterAnEvent() {
    const std::uint64_t middle = run_.seq() / 2;
    Check(Watched(client_, run_.name(), middle) == Numbers(middle + 1, run_.seq()), "the second half of the events");
  }

  void AWatchOverABadLineHasNoGapAndNoRepeat() {
    Relay relay(server_, 3, 4096);
    Client distant = Client::Connect(relay.target());
    Check(Watched(distant, run_.name(), 0) == Numbers(1, run_.seq()), "all events");
    Check(relay.has_broken_all(), "the line broke three times");
  }

  void AWatcherThatHasSeenEnoughEndsTheWatch() {
    v1::RunSpec spec = Spec();
    spec.set_trials(50);
    const std::string other = client_.Start(spec).name();
    int seen = 0;
    client_.Watch(other, 0, [&](const v1::WatchRunResponse&) { return ++seen < 2; });
    CheckEqual(seen, 2, "events seen");
    client_.Stop(other, v1::StopRunRequest::MODE_ABORT);
    CheckEqual(client_.WaitFor(other).state(), v1::RUN_STATE_STOPPED, "state");
  }

  void AnExceptionOfAWatcherIsItsCallers() {
    try {
      client_.Watch(run_.name(), 0, [](const v1::WatchRunResponse&) -> bool { throw std::out_of_range("mine"); });
    } catch (const std::out_of_range&) {
      return;
    }
    Check(false, "the exception comes through");
  }

  void AModelIsDownloadedWhole() {
    const Folder folder;
    CheckEqual(client_.Download(run_.model(), folder.path()).size(), artifacts_.size(), "files");
    CheckAllAreWhole(folder.path());
  }

  void ADownloadGoesOnWhereItBroke() {
    const Folder folder;
    client_.Download(run_.model(), folder.path());
    const v1::Artifact& artifact = Onnx();
    const std::string whole = ReadAll(folder.path() / artifact.file());
    fs::remove(folder.path() / artifact.file());
    std::ofstream(Part(folder.path()), std::ios::binary) << whole.substr(0, whole.size() - 100);
    Relay relay(server_, 0, 0);
    Client distant = Client::Connect(relay.target());
    distant.Download(run_.model(), folder.path());
    Check(relay.received() < static_cast<std::int64_t>(whole.size()), "only the last 100 bytes came");
    CheckAllAreWhole(folder.path());
    Check(!fs::exists(Part(folder.path())), "nothing is left behind");
  }

  void ADownloadOverABadLineIsWhole() {
    const Folder folder;
    Relay relay(server_, 3, 20'000);
    Client distant = Client::Connect(relay.target());
    distant.Download(run_.model(), folder.path());
    Check(relay.has_broken_all(), "the line broke three times");
    CheckAllAreWhole(folder.path());
  }

  void ADamagedPartIsRefusedAndThenFetchedAgain() {
    const Folder folder;
    std::ofstream(Part(folder.path()), std::ios::binary) << "not of it";
    const Error error = Refused([&] { client_.Download(run_.model(), folder.path()); });
    CheckEqual(error.code(), StatusCode::DATA_LOSS, "code");
    client_.Download(run_.model(), folder.path());
    CheckAllAreWhole(folder.path());
  }

  void AnUnknownRunIsNotFound() {
    const Error error = Refused([&] { client_.Get("runs/none"); });
    CheckEqual(error.code(), StatusCode::NOT_FOUND, "code");
    CheckEqual(error.reason(), "NOT_FOUND", "reason");
    CheckEqual(Refused([&] { Watched(client_, "runs/none", 0); }).code(), StatusCode::NOT_FOUND, "code of a watch");
  }

  void ABadSpecNamesTheField() {
    v1::RunSpec bad = Spec();
    bad.set_dataset("datasets/none");
    const Error error = Refused([&] { client_.Start(bad); });
    CheckEqual(error.code(), StatusCode::INVALID_ARGUMENT, "code");
    CheckEqual(error.reason(), "BAD_FIELD", "reason");
    CheckEqual(error.field(), "spec.dataset", "field");
  }

  void ARunThatHasEndedCannotBeStopped() {
    const Error error = Refused([&] { client_.Stop(run_.name(), v1::StopRunRequest::MODE_FINISH); });
    CheckEqual(error.code(), StatusCode::FAILED_PRECONDITION, "code");
  }

  void TheSameRequestStartsOneRun() {
    const std::string request = "00000000-0000-4000-8000-" + std::to_string(100'000'000'000 + ::getpid());
    const v1::Run first = client_.Start(Spec(), request);
    CheckEqual(client_.Start(Spec(), request).name(), first.name(), "the second call's run");
    v1::RunSpec other = Spec();
    other.set_seed(1);
    const Error error = Refused([&] { client_.Start(other, request); });
    CheckEqual(error.code(), StatusCode::ALREADY_EXISTS, "code");
    CheckEqual(error.reason(), "REQUEST_ID_REUSED", "reason");
    client_.Stop(first.name(), v1::StopRunRequest::MODE_ABORT);
    CheckEqual(client_.WaitFor(first.name()).state(), v1::RUN_STATE_STOPPED, "state");
  }

  void AnEngineThatIsNotThereIsGivenUpAfterAllTries() {
    const std::string target = Listener().target();  // closed again
    Client nowhere = Impatient(target);
    const Error error = Refused([&] { nowhere.Get(run_.name()); });
    CheckEqual(error.code(), StatusCode::UNAVAILABLE, "code");
    CheckEqual(error.reason(), "", "reason");
  }

  void AnEngineThatHangsGetsTwiceTheTimeOnce() {
    const Listener silent;
    Client hanging = Impatient(silent.target());
    const auto start = std::chrono::steady_clock::now();
    const Error error = Refused([&] { hanging.Get(run_.name()); });
    CheckEqual(error.code(), StatusCode::DEADLINE_EXCEEDED, "code");
    Check(std::chrono::steady_clock::now() - start >= 3 * 300ms, "it waited once, and twice as long");
  }

 private:
  v1::RunSpec Spec() const {
    v1::RunSpec spec;
    spec.set_dataset(dataset_.name());
    spec.set_trials(2);
    spec.set_max_params(50'000);
    spec.set_seed(7);
    return spec;
  }

  const v1::Artifact& Onnx() const {
    for (const v1::Artifact& artifact : artifacts_) {
      if (artifact.file() == "model.onnx") return artifact;
    }
    throw std::logic_error("the model has no model.onnx");
  }

  fs::path Part(const fs::path& folder) const {
    return folder / ("." + Onnx().file() + "." + Onnx().ref().sha256() + ".part");
  }

  void CheckAllAreWhole(const fs::path& folder) const {
    for (const v1::Artifact& artifact : artifacts_) {
      const std::string data = ReadAll(folder / artifact.file());
      neunets::Sha256 digest;
      digest.Update(data.data(), data.size());
      CheckEqual(digest.Hex(), artifact.ref().sha256(), artifact.file());
    }
  }

  std::string server_;
  Client client_;
  v1::Dataset dataset_;
  v1::Run run_;
  Sequence events_;
  std::vector<v1::Artifact> artifacts_;
};

using Case = std::pair<const char*, void (ClientTest::*)()>;

#define CASE(name) \
  Case { #name, &ClientTest::name }

const Case kCases[] = {
    CASE(ARunOfTwoTrialsIsCompleted),
    CASE(AWatchGivesEveryEventOnceAndInOrder),
    CASE(AWatchGoesOnAfterAnEvent),
    CASE(AWatchOverABadLineHasNoGapAndNoRepeat),
    CASE(AWatcherThatHasSeenEnoughEndsTheWatch),
    CASE(AnExceptionOfAWatcherIsItsCallers),
    CASE(AModelIsDownloadedWhole),
    CASE(ADownloadGoesOnWhereItBroke),
    CASE(ADownloadOverABadLineIsWhole),
    CASE(ADamagedPartIsRefusedAndThenFetchedAgain),
    CASE(AnUnknownRunIsNotFound),
    CASE(ABadSpecNamesTheField),
    CASE(ARunThatHasEndedCannotBeStopped),
    CASE(TheSameRequestStartsOneRun),
    CASE(AnEngineThatIsNotThereIsGivenUpAfterAllTries),
    CASE(AnEngineThatHangsGetsTwiceTheTimeOnce),
};

int Run(const std::string& server) {
  ClientTest test(server);
  int failed = 0;
  for (const auto& [name, method] : kCases) {
    try {
      (test.*method)();
      std::cout << "ok " << name << std::endl;
    } catch (const std::exception& error) {
      std::cout << "FAILED " << name << ": " << error.what() << std::endl;
      ++failed;
    }
  }
  std::cout << std::size(kCases) << " tests, " << failed << " failed" << std::endl;
  return failed == 0 ? 0 : 1;
}

}  // namespace

int main() {
  const char* server = std::getenv("NEUNETS_SERVER");
  if (server == nullptr || *server == '\0') {
    std::cout << "skipped: NEUNETS_SERVER is not set, so there is no engine to test against" << std::endl;
    return kSkipped;
  }
  try {
    return Run(server);
  } catch (const std::exception& error) {
    std::cout << "FAILED before the first test: " << error.what() << std::endl;
    return 1;
  }
}
