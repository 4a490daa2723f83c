import Foundation
import MMoEData
import MMoEModels
import MMoEReport
import MMoETensor

/// Everything that determines a run, in groups; `RunConfig.table` names each key once.
public struct RunConfig: Sendable, Equatable {
  public var seed = 0
  public var tensor = TensorConfig()
  public var model = ModelConfig()
  public var optimizer = OptimizerConfig()
  public var schedule = ScheduleConfig()
  public var data = DataConfig()
  public var text = TextDataConfig()
  public var tokenizer = TokenizerConfig()
  public var objective = ObjectiveConfig()
  public var mixture = MixtureConfig()
  public var train = LoopConfig()
  public var checkpoint = CheckpointConfig()
  public var finetune = FineTuneConfig()
  public var parallel = ParallelConfig()

  public init() {}
}

/// What computes.
public struct TensorConfig: Sendable, Equatable {
  /// Computing threads; nil = all cores.
  public var threads: Int?
  public var blas = BLASChoice.auto
  /// What matrix products read.
  public var dtype = DType.float32
  public init() {}

  /// What computes with these settings.
  ///
  /// - Parameter threads: where the settings leave it open; nil = all cores.
  /// - Throws: `EngineError` for what this machine or build cannot do.
  public func makeEngine(threads fallback: Int? = nil) throws -> Engine {
    try Engine(threads: threads ?? fallback, backend: blas.backend, dtype: dtype)
  }

  public enum BLASChoice: String, CaseIterable, Sendable {
    /// oneDNN where built in, else OpenBLAS.
    case auto, onednn, openblas

    public var backend: BLASBackend? { BLASBackend(rawValue: rawValue) }
  }
}

/// How the learning rate moves.
public struct ScheduleConfig: Sendable, Equatable {
  public enum Kind: String, CaseIterable, Sendable {
    case cosine, constant
  }
  public var kind = Kind.cosine
  /// Steps of linear warm-up; the last of them has the peak.
  public var warmup = 100
  /// Learning rate of the last step as a share of the peak.
  public var minimum = 0.01
  public init() {}

  /// The learning rate of step `step` (from 0) of `total`: after the warm-up from the peak down to the minimum, which the
  /// last step has. A run of a single step without a warm-up has the peak.
  public func learningRate(peak: Double, step: Int, total: Int) -> Double {
    if step < warmup { return peak * Double(step + 1) / Double(warmup) }
    guard kind == .cosine, total > 1 else { return peak }
    let progress = warmup < total - 1 ? Double(step - warmup) / Double(total - 1 - warmup) : 1
    let low = peak * minimum
    return low + (peak - low) * 0.5 * (1 + cos(Double.pi * min(progress, 1)))
  }

  /// What a user should know of a run that is too short for its schedule; nil where it is not.
  package func note(total: Int) -> String? {
    guard warmup >= total, warmup > 1 else { return nil }
    let reached = HumanFormat.percent(Double(total) / Double(warmup))
    return
      "schedule.warmup is \(warmup) steps and the run has \(total): the learning rate only rises, to \(reached) of optimizer.lr; lower schedule.warmup or raise train.steps"
  }
}

/// What is fed in, and how it is varied.
public struct DataConfig: Sendable, Equatable {
  public enum Crop: String, CaseIterable, Sendable {
    /// A random part of the image, resized.
    case resized
    /// The image with a border, shifted at random (the CIFAR recipe).
    case padded
    case none
  }
  public enum Normalization: String, CaseIterable, Sendable {
    /// ImageNet's channel means and deviations.
    case imagenet
    /// To −1…1.
    case unit
  }
  /// Images, or windows of text, of an optimizer step.
  public var batch = 64
  public var crop = Crop.resized
  /// Smallest share of the image's area that a random crop takes.
  public var cropMinimum = 0.5
  public var flip = true
  /// Border of the padded crop, in pixels of the model's input.
  public var cropPadding = 4
  /// Largest relative change of brightness and of contrast.
  public var jitter = 0.2
  /// Decoding threads.
  public var workers = 2
  /// Megabytes of decoded images kept in memory.
  public var cacheMB = 2048
  public var normalization = Normalization.imagenet
  public var onBadImage = BadImagePolicy.error
  /// Share of the images of each class, of the pairs, or of the documents (or of the only one), that is kept for validation where the
  /// data does not say it.
  public var validationShare = 0.1
  /// 1 = train on the first batch only, without augmentation: the loss must go to 0.
  public var overfit = 0
  public init() {}

  /// How training images are varied.
  public var augmentation: Augmentation {
    let part: Augmentation.Crop =
      switch crop {
      case .resized: .randomResized(minimumScale: Float(cropMinimum))
      case .padded: .padded(pixels: cropPadding)
      case .none: .center
      }
    return Augmentation(
      crop: part, flip: flip ? 0.5 : 0, brightness: Float(jitter), contrast: Float(jitter))
  }

  /// Bytes of decoded images kept in memory: no more than a quarter of what virtual memory is left where it is limited.
  package var cacheBytes: Int { min(cacheMB * 1_000_000, (MemoryLimit.virtualBytesLeft ?? .max) / 4) }

  public var pixelNormalization: PixelNormalization {
    normalization == .imagenet ? .imageNet : .unit
  }
}

/// How a text becomes windows of tokens.
public struct TextDataConfig: Sendable, Equatable {
  public enum Order: String, CaseIterable, Sendable {
    /// Windows that begin anywhere.
    case random
    /// Windows side by side, in another order every epoch: every token is a target once an epoch.
    case sequential
  }
  public var order = Order.random
  /// The text's field in JSONL files.
  public var field = "text"
  /// What is a document in other files.
  public var documents = DocumentRule.file
  /// Tokens by which evaluation windows are apart: each later window counts only so many, which see the rest; 0 = the
  /// context, windows side by side.
  public var evalStride = 0
  /// Validation tokens used during training, from the beginning; 0 = all. `mmoe eval` always uses all.
  public var evalTokens = 0
  public init() {}
}

/// Which tokenizer a language model is trained with. Shards bring their own.
public struct TokenizerConfig: Sendable, Equatable {
  public enum Kind: String, CaseIterable, Sendable {
    /// Every byte is a token.
    case byte
    /// Byte-level BPE: from `tokenizer.path`, or learned from the training text.
    case bpe
    /// GPT-2's, from its files in `tokenizer.path`.
    case gpt2
  }
  public var kind = Kind.byte
  /// A folder with vocab.json and merges.txt, or a tokenizer.json.
  public var path: String?
  /// Tokens of a learned BPE.
  public var vocabulary = 4096
  public init() {}
}

/// What a model of images and texts is trained for: weights in the objective, 0 = not at all.
public struct ObjectiveConfig: Sendable, Equatable {
  /// Next tokens of a caption after its image.
  public var caption = 1.0
  /// Images find their texts, and texts their images.
  public var contrastive = 1.0
  /// Labels of images, where the data has them.
  public var classification = 0.1
  /// Next tokens of a caption alone.
  public var language = 0.1
  public init() {}

  package func weight(_ task: FusionConfig.Task) -> Double {
    switch task {
    case .caption: caption
    case .contrastive: contrastive
    case .classification: classification
    case .language: language
    }
  }

  package static let nothing: ObjectiveConfig = {
    var none = ObjectiveConfig()
    (none.caption, none.contrastive, none.classification, none.language) = (0, 0, 0, 0)
    return none
  }()
}

/// The loop.
public struct LoopConfig: Sendable, Equatable {
  /// Optimizer steps; nil = `epochs`.
  public var steps: Int?
  public var epochs = 10
  /// Micro-batches of a step; must divide `data.batch`.
  public var accumulation = 1
  public var labelSmoothing = 0.0
  /// Steps between evaluations; 0 = once an epoch.
  public var evalEvery = 0
  /// Steps between samples of generated text; 0 = none.
  public var sampleEvery = 0
  public init() {}
}

/// What is kept.
public struct CheckpointConfig: Sendable, Equatable {
  /// Steps between checkpoints; 0 = once an epoch.
  public var every = 0
  /// Seconds after which a run that has no checkpoint yet writes its first one; 0 = it waits for `every`.
  public var firstAfter = 60.0
  /// Latest checkpoints kept.
  public var keep = 2
  /// Of the others those are kept too whose step it divides; 0 = none.
  public var keepEvery = 0
  /// Each rank writes its experts to a file of its own beside the checkpoint.
  public var shards = false
  /// Write beside the training, from a copy in memory.
  public var background = false
  public init() {}
}
