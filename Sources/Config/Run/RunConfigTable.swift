import MMoEData
import MMoEModels
import MMoETensor

extension RunConfig {
  /// Every key of `--set`, YAML files and checkpoints, declared once.
  public static let table = ConfigTable<RunConfig>(
    [
      .int("seed", \.seed, range: 0 ... .max, "of initialization, order, augmentation, noise"),
      .choice(
        "dtype", \.tensor.dtype, "of matrix products; bf16 needs oneDNN and a CPU with AVX512_BF16"),
      .optionalInt(
        "tensor.threads", \.tensor.threads, range: 1...1024, "computing threads; none = all cores"),
      .choice(
        "tensor.blas", \.tensor.blas, "matrix products; auto = oneDNN where built in, else OpenBLAS"),
    ] + modelEntries + modalityEntries + moeEntries + trainingEntries + fineTuneEntries + textEntries + objectiveEntries
      + parallelEntries,
    retired: retiredKeys, renamed: renamedKeys, synonyms: synonyms, listCommand: "mmoe config")

  /// Keys that may differ from the checkpoint's when a run is resumed: none changes what a step computes, but for the
  /// learning rates that follow from another end of the schedule.
  package static let changeableOnResume: Set<String> = [
    "tensor.threads", "data.workers", "data.cache_mb", "data.on_bad_image", "train.steps",
    "train.epochs", "train.eval_every", "train.sample_every", "checkpoint.every", "checkpoint.first_after",
    "checkpoint.keep",
    "checkpoint.keep_every", "checkpoint.shards", "checkpoint.background",
    "text.eval_tokens", "parallel.expert", "parallel.zero", "parallel.overlap", "parallel.wire",
    "parallel.timeout",
  ]

  private static let modelEntries: [ConfigEntry<RunConfig>] = [
    .choice(
      "model.kind", \.model.kind, ModelKind.allCases.map { "\($0.rawValue) = \($0.summary)" }.joined(separator: ", ")),
    .int("model.layers", \.model.layers, range: 1...512, "transformer blocks"),
    .int("model.width", \.model.width, range: 1...65536, "model width d"),
    .int("model.heads", \.model.heads, range: 1...1024, "attention heads; must divide the width"),
    .int(
      "model.kv_heads", \.model.kvHeads, range: 0...1024,
      "heads of K and V (grouped-query attention); 0 = as many as heads"),
    .int(
      "model.hidden", \.model.hidden, range: 0...1_048_576, "hidden width of the MLP; 0 = 4 d"),
    .choice("model.activation", \.model.activation, "between the two products of an MLP"),
    .choice("model.norm", \.model.norm, "layer norm, or RMS norm without bias"),
    .bool("model.bias", \.model.bias, "biases in linear layers"),
    .int(
      "model.vocabulary", \.model.text.vocabulary, range: 1...16_777_216,
      "token ids; follows the tokenizer in training"
    ).only(.gpt, .multimodal),
    .int("model.context", \.model.text.context, range: 1...1_048_576, "tokens of a window").only(.gpt, .multimodal),
    .choice("model.positions", \.model.text.positions, "learned table, or rotary in Q and K").only(.gpt),
    .double(
      "model.rotary_base", \.model.text.rotaryBase, range: 1...1e12, "base of the rotary frequencies"
    ).only(.gpt),
    .bool("model.tied_head", \.model.text.tiedHead, "the head's weight is the token embedding").only(.gpt, .multimodal),
    .int("model.image", \.model.vision.image, range: 1...4096, "side of the square input in pixels").only(
      .vit, .multimodal),
    .int("model.patch", \.model.vision.patch, range: 1...4096, "side of a patch; must divide the input").only(
      .vit, .multimodal),
    .int(
      "model.classes", \.model.vision.classes, range: 0...1_000_000,
      "classes of the head; follows the data in training"
    ).only(.vit, .multimodal),
    .bool("model.class_token", \.model.vision.classToken, "learned class token instead of mean pooling").only(
      .vit, .multimodal),
    .bool("model.pre_norm", \.model.vision.preNorm, "an image tower's norm between positions and blocks (CLIP)").only(
      .multimodal),
    .int(
      "model.embedding", \.model.fusion.embedding, range: 1...65536, "width in which samples are compared"
    ).only(.multimodal),
    .choice(
      "fusion.kind", \.model.fusion.kind, "one transformer over all modalities, or a tower for each"
    ).only(.multimodal),
    .strings(
      "fusion.modalities", \.model.fusion.modalities, example: "vision, language",
      "what the model reads: language and some of \(ModalityTable.registry.names.filter { $0 != "language" }.joined(separator: ", "))"
    ).only(.multimodal),
    .choice(
      "fusion.captions", \.model.fusion.captions,
      "a caption is learned after each sample alone, or after all of its item"
    ).only(.multimodal),
    .choice("fusion.text_pooling", \.model.fusion.textPooling, "what stands for a text where it is compared").only(
      .multimodal),
    .int(
      "fusion.cross_blocks", \.model.fusion.crossBlocks, range: 0...512,
      "late: last blocks of the text tower that read the other towers"
    ).only(.multimodal),
    .int(
      "fusion.text_layers", \.model.fusion.textLayers, range: 0...512,
      "late: blocks of the text tower; 0 = as the image tower"
    ).only(.multimodal),
    .int("fusion.text_width", \.model.fusion.textWidth, range: 0...65536, "late: its width; 0 = as the image tower")
      .only(.multimodal),
    .int("fusion.text_heads", \.model.fusion.textHeads, range: 0...1024, "late: its heads; 0 = as the image tower")
      .only(.multimodal),
    .int(
      "fusion.text_hidden", \.model.fusion.textHidden, range: 0...1_048_576,
      "late: hidden width of its MLP; 0 = as model.hidden"
    ).only(.multimodal),
    .double(
      "model.stochastic_depth", \.model.stochasticDepth, range: 0...0.99,
      "largest drop rate of residual branches, in the last block"),
    .double(
      "model.norm_epsilon", \.model.normEpsilon, range: .leastNonzeroMagnitude...1,
      "added to the variance in layer norms"),
    .double(
      "model.init_std", \.model.initStd, range: 0...10,
      "standard deviation of initial weights; 0 = 1/sqrt(fan-in)"),
  ]

  /// The keys that modalities bring.
  private static let modalityEntries: [ConfigEntry<RunConfig>] = ModalityTable.registry.values.flatMap(\.settings).map {
    .int($0.key, \.model.modalitySettings[$0], range: $0.range, $0.summary).only(.multimodal)
  }

  private static let moeEntries: [ConfigEntry<RunConfig>] = [
    .string("moe.variant", \.model.moe.variant, MoEVariant.listing),
    .int(
      "moe.position", \.model.moe.position, range: 1...3,
      "shortcut source: 1 preceding output, 2 its state after attention, 3 its input"),
    .list(
      "moe.sources", \.model.moe.sources, "blocks back and input, attention or output",
      example: "3:attention, 1:attention",
      "sources of hierarchical"),
    .int("moe.experts", \.model.moe.experts, range: 1...16384, "routed experts of a layer"),
    .optionalString(
      "moe.groups", \.model.moe.groups,
      "named groups of the experts, such as vision:4@96,language:2,shared:2; a token enters its modality's and shared; @ = their hidden width"
    ).only(.multimodal),
    .choice("moe.gate", \.model.moe.gate, "weights of a gate for all tokens, or for each modality its own").only(
      .multimodal),
    .int(
      "moe.identity_experts", \.model.moe.identityExperts, range: 0...16384,
      "choices beside the experts that return their input and cost nothing"),
    .int(
      "moe.hidden", \.model.moe.hidden, range: 0...1_048_576,
      "hidden width of an expert; 0 = the MLP's"),
    .int("moe.every", \.model.moe.every, range: 1...1024, "MoE in every n-th block"),
    .int("moe.first", \.model.moe.first, range: 0...1024, "first block with an MoE; 0 = moe.every - 1"),
    .int(
      "moe.bank_layers", \.model.moe.bankLayers, range: 1...1024, "MoE layers that share one bank of experts"),
    .bool(
      "moe.task_routing", \.model.moe.taskRouting,
      "a learned row for its task in a token's gate; each task then has a pass of its own over images and texts"
    ).only(.multimodal),
    .double(
      "moe.capacity_factor", \.model.moe.capacityFactor, range: 0...1e6,
      "C = ceil(cf T k / E) rows an expert in training; 0 = dropless"),
    .double(
      "moe.eval_capacity_factor", \.model.moe.evalCapacityFactor, range: 0...1e6,
      "the same in evaluation; in causal models for each sequence, T the context, in the order of its tokens"),
    .name("moe.balance", \.model.moe.balance, of: BalanceTable.names, "form of the load-balancing loss"),
    .double(
      "moe.balance_weight", \.model.moe.balanceWeight, range: 0...1e6, "its weight in the objective"),
    .double(
      "moe.z_loss_weight", \.model.moe.zLossWeight, range: 0...1e6, "weight of the router z-loss"),
    .double(
      "moe.bias_rate", \.model.moe.biasRate, range: 0...1,
      "step of the balancing selection bias (no loss needed); 0 = off"),
    .double(
      "moe.real_share", \.model.moe.realShare, range: 0...1,
      "share of the choices that the selection bias makes experts, not identities; 0 = off"),
    .double(
      "moe.gate_noise", \.model.moe.gateNoise, range: 0...1e3,
      "normal noise on gate logits in training, deviation this / experts"),
    .bool(
      "moe.batch_priority", \.model.moe.batchPriority,
      "with a capacity, queue tokens by their best probability; not in the evaluation of causal models"),
    .bool(
      "moe.renormalize", \.model.moe.renormalize, "divide chosen probabilities by their sum (k > 1)"),
    .bool(
      "moe.renormalize_single", \.model.moe.renormalizeSingle,
      "the same where k = 1, so that the only expert weighs 1 (imported Mixtral)"),
    .name(
      "moe.router", \.model.moe.router, of: RouterTable.names,
      "how tokens and experts are matched; uniform = round robin, for debugging only"),
    .int(
      "moe.n_group", \.model.moe.groupCount, range: 1...16384,
      "groups of neighboring experts that limit a token's choice"),
    .int("moe.topk_group", \.model.moe.groupLimit, range: 1...16384, "of them those that a token chooses in"),
    .double(
      "moe.routed_scaling_factor", \.model.moe.routeScale, range: 1e-6...1e6,
      "factor on the weights of the chosen experts"),
    .choice("moe.combine", \.model.moe.combine, "how shared and routed outputs are joined"),
    .choice(
      "moe.coefficient_input", \.model.moe.coefficientInput, "what CG-1 and CG-2 are computed from"),
    .choice("moe.shortcut_norm", \.model.moe.shortcutNorm, "norm of a shortcut's source"),
    .bool("moe.post_norm", \.model.moe.postNorm, "norm over the joined output before the residual"),
    .bool("moe.one_gate", \.model.moe.oneGate, "DGMoE: one gate for both calls"),
    .bool(
      "moe.constrained", \.model.moe.constrained, "DGMoE: the second call avoids the first's expert"),
  ]

  private static let textEntries: [ConfigEntry<RunConfig>] = [
    .choice("tokenizer.kind", \.tokenizer.kind, "bytes, a learned or given BPE, or GPT-2's files").only(
      .gpt, .multimodal),
    .optionalString(
      "tokenizer.path", \.tokenizer.path, "folder with vocab.json and merges.txt, or a tokenizer.json"
    ).only(.gpt, .multimodal),
    .int(
      "tokenizer.vocabulary", \.tokenizer.vocabulary, range: 257...1_000_000,
      "tokens of a BPE that is learned from the training text"
    ).only(.gpt, .multimodal),
    .choice("text.order", \.text.order, "windows that begin anywhere, or side by side").only(.gpt),
    .string("text.field", \.text.field, "the text's field in JSONL files").only(.gpt, .multimodal),
    .choice("text.documents", \.text.documents, "what is a document in text files").only(.gpt, .multimodal),
    .int(
      "text.eval_stride", \.text.evalStride, range: 0...1_048_576,
      "tokens between evaluation windows; 0 = the context"
    ).only(.gpt),
    .int(
      "text.eval_tokens", \.text.evalTokens, range: 0 ... .max,
      "validation tokens used during training; 0 = all"
    ).only(.gpt, .multimodal),
  ]

  private static let objectiveEntries: [ConfigEntry<RunConfig>] = [
    .double(
      "objective.caption", \.objective.caption, range: 0...1e6, "weight of next tokens of a caption after its samples"
    ).only(.multimodal),
    .double(
      "objective.contrastive", \.objective.contrastive, range: 0...1e6,
      "weight of samples of every two modalities finding each other"
    ).only(.multimodal),
    .double(
      "objective.classification", \.objective.classification, range: 0...1e6, "weight of the labels of images"
    ).only(.multimodal),
    .double(
      "objective.language", \.objective.language, range: 0...1e6, "weight of next tokens of a caption alone"
    ).only(.multimodal),
    .optionalString(
      "mixture.images", \.mixture.images, "labeled images mixed into batches of pairs: a folder with train/ and val/"
    ).only(.multimodal),
    .int("mixture.image_batch", \.mixture.imageBatch, range: 1...65536, "labeled images of a step").only(.multimodal),
    .optionalString(
      "mixture.text", \.mixture.text, "text mixed into batches of pairs: text, JSONL or shards of their tokenizer"
    ).only(.multimodal),
    .int("mixture.text_batch", \.mixture.textBatch, range: 1...65536, "windows of text of a step").only(.multimodal),
    .bool(
      "objective.uncertainty", \.model.fusion.uncertainty,
      "multiply these weights by learned ones (Kendall et al., arXiv 1705.07115)"
    ).only(.multimodal),
  ]

  private static let trainingEntries: [ConfigEntry<RunConfig>] = [
    .choice(
      "optimizer.kind", \.optimizer.kind,
      OptimizerKind.allCases.map { "\($0.rawValue) = \($0.summary)" }.joined(separator: "; ")),
    .double("optimizer.lr", \.optimizer.lr, range: 0...1e3, "peak learning rate"),
    .double("optimizer.beta1", \.optimizer.beta1, range: 0...0.999999, "AdamW: first moment's decay"),
    .double("optimizer.beta2", \.optimizer.beta2, range: 0...0.999999, "AdamW: second moment's decay"),
    .double(
      "optimizer.epsilon", \.optimizer.epsilon, range: 1e-30...1,
      "AdamW: added to the root of the second moment"),
    .double(
      "optimizer.momentum", \.optimizer.momentum, range: 0...0.999999, "muon, sgd: share of the momentum that stays"),
    .int("optimizer.ns_steps", \.optimizer.nsSteps, range: 1...100, "muon: Newton-Schulz iterations of a step"),
    .double(
      "optimizer.weight_decay", \.optimizer.weightDecay, range: 0...1e3,
      "decoupled decay of weights, not of norms, biases and class token"),
    .double(
      "optimizer.clip", \.optimizer.clip, range: 0...1e9, "largest global gradient norm; 0 = off"),
    .choice("schedule.kind", \.schedule.kind, "learning rate after the warm-up"),
    .int("schedule.warmup", \.schedule.warmup, range: 0 ... .max, "steps of linear warm-up"),
    .double(
      "schedule.minimum", \.schedule.minimum, range: 0...1,
      "last learning rate as a share of the peak (cosine)"),
    .int("data.batch", \.data.batch, range: 1...65536, "images or windows of text of an optimizer step"),
    .choice("data.crop", \.data.crop, "random crop of training images").only(.vit, .multimodal),
    .double(
      "data.crop_minimum", \.data.cropMinimum, range: 0.001...1,
      "smallest share of the area that the resized crop takes"
    ).only(.vit, .multimodal),
    .int(
      "data.crop_padding", \.data.cropPadding, range: 0...1024, "border of the padded crop in pixels"
    ).only(.vit, .multimodal),
    .bool("data.flip", \.data.flip, "mirror half of the training images").only(.vit, .multimodal),
    .double(
      "data.jitter", \.data.jitter, range: 0...1, "largest change of brightness and of contrast"
    ).only(.vit, .multimodal),
    .choice("data.normalization", \.data.normalization, "channel means and deviations").only(
      .vit, .multimodal),
    .int("data.workers", \.data.workers, range: 1...256, "decoding threads"),
    .int(
      "data.cache_mb", \.data.cacheMB, range: 0...1_000_000, "megabytes of decoded images kept"
    ).only(.vit, .multimodal),
    .double(
      "data.validation_share", \.data.validationShare, range: 0.0001...0.9,
      "kept for validation where folders, file names and lines do not say it"),
    .choice("data.on_bad_image", \.data.onBadImage, "at a file that cannot be decoded").only(
      .vit, .multimodal),
    .int(
      "data.overfit", \.data.overfit, range: 0...1,
      "1 = train on the first batch only, without augmentation"),
    .optionalInt(
      "train.steps", \.train.steps, range: 1...StepLimit.largest, "optimizer steps; none = by epochs"),
    .int("train.epochs", \.train.epochs, range: 1...1_000_000, "passes over the data"),
    .int(
      "train.accumulation", \.train.accumulation, range: 1...65536,
      "micro-batches of a step, a divisor of data.batch; a balance loss adds a forward pass where there are several"),
    .double(
      "train.label_smoothing", \.train.labelSmoothing, range: 0...0.99, "of the cross-entropy of labels"
    ).only(.vit, .multimodal),
    .int(
      "train.eval_every", \.train.evalEvery, range: 0 ... .max,
      "steps between evaluations; 0 = once an epoch"),
    .int(
      "train.sample_every", \.train.sampleEvery, range: 0 ... .max,
      "steps between samples of generated text; 0 = none"
    ).only(.gpt, .multimodal),
    .int(
      "checkpoint.every", \.checkpoint.every, range: 0 ... .max,
      "steps between checkpoints; 0 = once an epoch"),
    .double(
      "checkpoint.first_after", \.checkpoint.firstAfter, range: 0...1e9,
      "seconds after which a run without a checkpoint writes its first one; 0 = it waits for checkpoint.every"),
    .int("checkpoint.keep", \.checkpoint.keep, range: 1...1_000_000, "latest checkpoints kept"),
    .int(
      "checkpoint.keep_every", \.checkpoint.keepEvery, range: 0 ... .max,
      "of older checkpoints those whose step this divides are kept too; 0 = none"),
    .bool(
      "checkpoint.shards", \.checkpoint.shards,
      "each rank writes its experts to a file of its own, NAME.rNN.h5, to which the checkpoint links"),
    .bool(
      "checkpoint.background", \.checkpoint.background,
      "write beside the training, from a copy in memory (as large as weights and moments)"),
  ]
}
