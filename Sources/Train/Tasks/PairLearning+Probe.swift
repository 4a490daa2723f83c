import MMoEData
import MMoEModels
import MMoETensor

extension PairLearning: ProbedTask {
  /// Images, each with its first caption: patches and tokens in one sequence.
  func probe(
    _ part: DatasetSplit, samples: Int, pass: () -> ForwardPass, _ body: (ProbedBatch) throws -> Void
  ) throws {
    guard let part = part == .val ? validation : training else { preconditionFailure("opened for evaluation only") }
    guard config.model.fusion.kind == .early else {
      throw TrainError(
        "fusion.kind is late: its towers have no common stream of states to look at, expected early; analyse `mmoe train --task imagenet-subset` and `--task lm` models instead"
      )
    }
    let all = part.set.imageSet
    let places = spread(samples, over: all.count)
    let set = ImageSet(split: all.split, classes: all.classes, images: places.map { all.images[$0] })
    let loader = try PairLoader(
      ImageSource(set, policy: config.data.onBadImage), captions: places.map { part.captions[$0] },
      options: options(.none), order: .evaluation)
    let vision = config.model.vision
    let side = vision.image / vision.patch
    while let batch = try loader.next() {
      let pass = pass()
      let texts = batch.captions.map { [tokens.border] + $0 }
      let states = fused(
        PackedSequences(
          images: batch.images.pixels,
          texts.enumerated().map { PackedSequences.Sequence(image: $0, text: $1) }), pass)
      let targets = batch.captions.map { $0 + [tokens.border] }
      let loss = fused.nextTokenLoss(states, targets: targets, weight: pass.lossWeight, pass.tape).mean
      /// A value for each patch, and one for each token, sequence by sequence.
      func rows(patch: (_ sample: Int, _ place: Int) -> Int32, token: (_ sample: Int, _ id: Int32) -> Int32) -> [Int32]
      {
        texts.enumerated().flatMap { sample, ids in
          (0..<vision.tokens).map { patch(sample, $0) } + ids.map { token(sample, $0) }
        }
      }
      let labels = batch.images.labels
      let classes = validation.set.labels
      try body(
        ProbedBatch(
          pass: pass, loss: loss, counted: targets.reduce(0) { $0 + $1.count },
          labels: [
            RowLabels(
              name: "modality", count: FusionConfig.modalities.count,
              values: rows(patch: { _, _ in 0 }, token: { _, _ in 1 }),
              describe: { FusionConfig.modalities[$0] }),
            RowLabels(
              name: "patch", count: side * side, values: rows(patch: { Int32($1) }, token: { _, _ in -1 }),
              describe: { "row \($0 / side) column \($0 % side)" }),
            RowLabels(
              name: "token", count: tokens.tokenizer.vocabularySize, values: rows(patch: { _, _ in -1 }, token: { $1 }),
              describe: { [tokens] id in
                String(decoding: (try? tokens.tokenizer.bytes(of: Int32(id))) ?? [], as: UTF8.self)
              }),
          ]
            + (classes.isEmpty
              ? []
              : [
                RowLabels(
                  name: "class", count: classes.count,
                  values: rows(patch: { s, _ in labels[s] }, token: { s, _ in labels[s] }),
                  describe: { classes[$0] })
              ])))
    }
  }
}
