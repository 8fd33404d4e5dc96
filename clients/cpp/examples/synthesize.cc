// From data to predictions: a network is synthesized by an engine, fetched, and run here on raw images.
#include <cmath>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <iterator>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>

#include "neunets/client.h"
#ifdef NEUNETS_PREDICTS
#include "predictor.h"
#endif

namespace {

namespace fs = std::filesystem;
namespace v1 = neunets::service::v1;
namespace search = neunets::synthesizer::v1;
using Options = std::map<std::string, std::string>;

constexpr char kUsage[] =
    "synthesize --server TARGET --data digits --trials 2 --images FILE --out DIR (FILE: raw uint8 images)";

// One line for an event of interest; empty: it is none.
std::string Told(const search::Event& event) {
  switch (event.event_case()) {
    case search::Event::kProposed:
      return std::to_string(event.proposed().candidates_size()) + " candidates proposed";
    case search::Event::kStarted:
      return "trial " + event.started().trial() + " started on " + event.started().device();
    case search::Event::kEnded: {
      const auto& metrics = event.ended().metrics();
      const auto accuracy = metrics.find("valid_accuracy");
      return "trial " + event.ended().trial() + " " + search::TrialEnded::State_Name(event.ended().state()) +
             ", validation accuracy " + std::to_string(accuracy == metrics.end() ? NAN : accuracy->second);
    }
    default:
      return "";
  }
}

std::string Told(const v1::RunEvent& event) {
  switch (event.event_case()) {
    case v1::RunEvent::kStateChanged:
      return "state " + v1::RunState_Name(event.state_changed().to());
    case v1::RunEvent::kSearch:
      return Told(event.search());
    case v1::RunEvent::kFinalTraining:
      return "final training of the network of trial " + event.final_training().of();
    case v1::RunEvent::kModelExported:
      return "exported " + event.model_exported().model();
    default:
      return "";
  }
}

// Returns: the name of the exported model.
std::string Synthesize(neunets::Client& client, const v1::Dataset& dataset, int trials) {
  v1::RunSpec spec;
  spec.set_dataset(dataset.name());
  spec.set_trials(trials);
  const std::string name = client.Start(spec).name();
  std::cout << name << " started" << std::endl;
  client.Watch(name, 0, [](const v1::WatchRunResponse& response) {
    const std::string line = Told(response.event());
    if (!line.empty()) std::cout << line << std::endl;
    return true;
  });
  const v1::Run run = client.Get(name);
  if (run.state() != v1::RUN_STATE_COMPLETED) {
    throw std::runtime_error(name + " ended as " + v1::RunState_Name(run.state()) + ": " + run.reason());
  }
  return run.model();
}

#ifdef NEUNETS_PREDICTS
void Predict(const fs::path& model, const v1::Dataset& dataset, const std::string& images,
             const fs::path& predictions) {
  std::ifstream file(images, std::ios::binary);
  if (!file) throw std::runtime_error("cannot read " + images);
  std::vector<std::uint8_t> pixels{std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
  const std::vector<std::int64_t> shape(dataset.input().shape().begin(), dataset.input().shape().end());
  const auto probabilities = Predictor(model.string()).Probabilities(pixels, shape);
  std::ofstream lines(predictions);
  for (const std::vector<float>& row : probabilities) {
    for (std::size_t at = 0; at < row.size(); ++at) {
      char text[32];
      std::snprintf(text, sizeof text, "%s%.8e", at == 0 ? "" : ",", static_cast<double>(row[at]));
      lines << text;
    }
    lines << '\n';
  }
  if (!lines.flush()) throw std::runtime_error("cannot write " + predictions.string());
  std::cout << probabilities.size() << " predictions in " << predictions.string() << std::endl;
}
#else
void Predict(const fs::path&, const v1::Dataset&, const std::string&, const fs::path&) {
  std::cout << "no predictions: this was built without ONNX Runtime's header" << std::endl;
}
#endif

Options Read(int count, char** words) {
  Options options{{"--server", ""}, {"--data", "digits"}, {"--trials", "2"}, {"--images", ""}, {"--out", ""}};
  for (int at = 1; at < count; at += 2) {
    const auto option = options.find(words[at]);
    if (option == options.end() || at + 1 == count) throw std::invalid_argument(kUsage);
    option->second = words[at + 1];
  }
  for (const auto& [name, value] : options) {
    if (value.empty()) throw std::invalid_argument(name + " is missing: " + kUsage);
  }
  return options;
}

void Run(const Options& options) {
  neunets::Client client = neunets::Client::Connect(options.at("--server"));
  const v1::Dataset dataset = client.Register(options.at("--data"), 0);
  std::cout << dataset.source() << ": " << dataset.train_rows() << " training images" << std::endl;
  const std::string model = Synthesize(client, dataset, std::stoi(options.at("--trials")));
  const fs::path out = options.at("--out");
  for (const fs::path& file : client.Download(model, out)) std::cout << "downloaded " << file.string() << std::endl;
  Predict(out / "model.onnx", dataset, options.at("--images"), out / "predictions.csv");
}

}  // namespace

int main(int count, char** words) {
  try {
    Run(Read(count, words));
    return 0;
  } catch (const std::invalid_argument& error) {
    std::cerr << error.what() << std::endl;
    return 2;
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
}
