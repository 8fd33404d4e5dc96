#pragma once

#include <onnxruntime_c_api.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

// A synthesized network in ONNX Runtime: raw pixels in, probabilities out; nothing else has to be known of it.
class Predictor {
 public:
  explicit Predictor(const std::string& model);
  ~Predictor();

  Predictor(const Predictor&) = delete;
  Predictor& operator=(const Predictor&) = delete;

  // `images`: one after another, `shape` (H, W, C) each. Returns: one vector of classes an image.
  std::vector<std::vector<float>> Probabilities(std::vector<std::uint8_t>& images,
                                                const std::vector<std::int64_t>& shape) const;

 private:
  // Throws what `status` says.
  void Must(OrtStatus* status) const;
  void Run(std::uint8_t* images, const std::vector<std::int64_t>& extents,
           std::vector<std::vector<float>>& probabilities) const;

  const OrtApi* api_;
  OrtEnv* environment_ = nullptr;
  OrtSession* session_ = nullptr;
  OrtMemoryInfo* memory_ = nullptr;
};
