import MMoEData
import MMoEFiles
import MMoEModels
import MMoEReport
import MMoETensor

extension PairLearning: ProbedTask {
  /// Images, each with its first caption: patches and tokens in one sequence; for every task, what it reads.
  package func probe(
    _ part: DatasetSplit, samples: Int, everyTask: Bool, pass: () -> ForwardPass,
    _ body: (ProbedBatch) throws -> Void
  ) throws {
    guard let part = part == .val ? validation : training else { preconditionFailure("opened for evaluation only") }
    guard config.model.fusion.kind == .early else {
      throw TrainError(
        "fusion.kind is late: its towers have no common stream of states to look at, expected early; analyze `mmoe train --task imagenet-subset` and `--task lm` models instead"
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
    let isSeparate = config.model.moe.taskRouting
    let probed: Set<PairPass.Task> = isSeparate && everyTask ? tasks.union([.caption]) : [.caption]
    while let batch = try loader.next() {
      let pass = pass()
      let read = PairPass(batch, tokens, probed, readsTextsAlone: true, isSeparate: isSeparate)
      let states = fused(read.packed, pass)
      let targets = read.targets(read.captions, batch, tokens)
      let loss = fused.nextTokenLoss(states, targets: targets, weight: pass.lossWeight, pass.tape).mean
      /// A value for each patch, and one for each token, sequence by sequence.
      func rows(
        patch: (_ sequence: PackedSequences.Sequence, _ place: Int) -> Int32,
        token: (_ sequence: PackedSequences.Sequence, _ id: Int32) -> Int32
      ) -> [Int32] {
        read.packed.sequences.flatMap { sequence in
          (sequence.image == nil ? [] : (0..<vision.tokens).map { patch(sequence, $0) })
            + sequence.text.map { token(sequence, $0) }
        }
      }
      let labels = batch.images.labels
      /// A text alone is not known by its class.
      func label(_ sequence: PackedSequences.Sequence) -> Int32 {
        sequence.image.map { labels[$0 % labels.count] } ?? -1
      }
      let classes = validation.set.labels
      var kinds = [
        RowLabels(
          name: "modality", count: FusionConfig.modalities.count,
          values: rows(patch: { _, _ in 0 }, token: { _, _ in 1 }),
          describe: { FusionConfig.modalities[$0] }),
        RowLabels(
          name: RowLabels.patch, count: side * side, values: rows(patch: { Int32($1) }, token: { _, _ in -1 }),
          describe: { "row \($0 / side) column \($0 % side)" }),
        RowLabels(
          name: RowLabels.token, count: tokens.tokenizer.vocabularySize,
          values: rows(patch: { _, _ in -1 }, token: { $1 }),
          describe: { [tokens] id in
            String(decoding: (try? tokens.tokenizer.bytes(of: Int32(id))) ?? [], as: UTF8.self)
          }),
      ]
      if isSeparate, everyTask {
        kinds.append(
          RowLabels(
            name: "task", count: FusionConfig.Task.allCases.count,
            values: rows(patch: { sequence, _ in sequence.task }, token: { sequence, _ in sequence.task }),
            describe: { "\(FusionConfig.Task.allCases[$0])" }))
      }
      if !classes.isEmpty {
        kinds.append(
          RowLabels(
            name: "class", count: classes.count,
            values: rows(patch: { sequence, _ in label(sequence) }, token: { sequence, _ in label(sequence) }),
            describe: { classes[$0] }))
      }
      let starts = read.packed.sequences.reduce(into: [0]) { starts, sequence in
        starts.append(starts.last! + (sequence.image == nil ? 0 : vision.tokens) + sequence.text.count)
      }
      let pictures = { [config] (count: Int) in
        zip(read.packed.sequences, starts).filter { ($0.0.image ?? Int.max) < batch.images.count }.prefix(count).map {
          sequence, row in
          ProbedPicture(
            batch.images.pixels, sample: sequence.image!, normalization: config.data.pixelNormalization, side: side,
            row: row)
        }
      }
      try body(
        ProbedBatch(
          pass: pass, loss: loss, counted: targets.joined().count { $0 >= 0 }, labels: kinds, pictures: pictures))
    }
  }
}
