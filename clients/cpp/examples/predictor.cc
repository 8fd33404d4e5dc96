#include "predictor.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <numeric>
#include <stdexcept>

namespace {

constexpr std::size_t kBatch = 256;

}  // namespace

Predictor::Predictor(const std::string& model) : api_(OrtGetApiBase()->GetApi(ORT_API_VERSION)) {
  if (api_ == nullptr) throw std::runtime_error("ONNX Runtime's library is older than its header");
  Must(api_->CreateEnv(ORT_LOGGING_LEVEL_WARNING, "neunets", &environment_));
  OrtSessionOptions* options = nullptr;
  Must(api_->CreateSessionOptions(&options));
  OrtStatus* status = api_->CreateSession(environment_, model.c_str(), options, &session_);
  api_->ReleaseSessionOptions(options);
  Must(status);
  Must(api_->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory_));
}

Predictor::~Predictor() {
  api_->ReleaseMemoryInfo(memory_);
  api_->ReleaseSession(session_);
  api_->ReleaseEnv(environment_);
}

std::vector<std::vector<float>> Predictor::Probabilities(std::vector<std::uint8_t>& images,
                                                         const std::vector<std::int64_t>& shape) const {
  const auto size = static_cast<std::size_t>(
      std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<std::int64_t>()));
  if (images.size() % size != 0) {
    throw std::runtime_error(std::to_string(images.size()) + " bytes are no whole number of images");
  }
  const std::size_t count = images.size() / size;
  std::vector<std::vector<float>> probabilities;
  for (std::size_t first = 0; first < count; first += kBatch) {
    std::vector<std::int64_t> extents{static_cast<std::int64_t>(std::min(kBatch, count - first))};
    extents.insert(extents.end(), shape.begin(), shape.end());
    Run(images.data() + first * size, extents, probabilities);
  }
  return probabilities;
}

void Predictor::Run(std::uint8_t* images, const std::vector<std::int64_t>& extents,
                    std::vector<std::vector<float>>& probabilities) const {
  const auto release = [this](OrtValue* value) { api_->ReleaseValue(value); };
  using Value = std::unique_ptr<OrtValue, decltype(release)>;
  const auto bytes = static_cast<std::size_t>(
      std::accumulate(extents.begin(), extents.end(), std::int64_t{1}, std::multiplies<std::int64_t>()));
  OrtValue* raw = nullptr;
  Must(api_->CreateTensorWithDataAsOrtValue(memory_, images, bytes, extents.data(), extents.size(),
                                            ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8, &raw));
  const Value input(raw, release);
  const char* const input_name = "image";
  const char* const output_name = "probabilities";
  const OrtValue* const inputs[] = {input.get()};
  raw = nullptr;
  Must(api_->Run(session_, nullptr, &input_name, inputs, 1, &output_name, 1, &raw));
  const Value output(raw, release);
  OrtTensorTypeAndShapeInfo* info = nullptr;
  Must(api_->GetTensorTypeAndShape(output.get(), &info));
  std::size_t total = 0;
  OrtStatus* status = api_->GetTensorShapeElementCount(info, &total);
  api_->ReleaseTensorTypeAndShapeInfo(info);
  Must(status);
  void* data = nullptr;
  Must(api_->GetTensorMutableData(output.get(), &data));
  const auto* values = static_cast<const float*>(data);
  const std::size_t classes = total / static_cast<std::size_t>(extents.front());
  for (std::size_t at = 0; at < total; at += classes) probabilities.emplace_back(values + at, values + at + classes);
}

void Predictor::Must(OrtStatus* status) const {
  if (status == nullptr) return;
  const std::string message = api_->GetErrorMessage(status);
  api_->ReleaseStatus(status);
  throw std::runtime_error("ONNX Runtime: " + message);
}
