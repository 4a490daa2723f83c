import MMoEConfig
import MMoEHDF5
import MMoEModels
import MMoEParallel
import MMoETensor

/// Writes the checkpoints of a run: at once or beside the training, in one file or with a part for each rank's experts.
///
/// Beside the training the loop pauses for a copy in memory alone. Whatever is being written is an ordinary checkpoint once it is
/// complete: only then it may get the name of the best one, and older ones may go.
final class CheckpointSaver {
  /// What is being written meanwhile.
  private enum Pending {
    /// This rank's part of a checkpoint, and what writes the file that the parts of all ranks belong to.
    case part(BackgroundSave<[CheckpointPart]>, CheckpointInfo, TrainingState, file: String)
    /// A file, on the first rank.
    case file(BackgroundSave<Void>, CheckpointInfo)
  }

  private let model: any TrainableModel
  private let optimizer: Updater
  private let config: CheckpointConfig
  private let team: RankTeam?
  /// Nil on ranks that write no file of their own.
  private let folder: RunFolder?
  private var pending: Pending?
  /// Told the step and the file of every checkpoint that is complete, on the rank that writes it.
  var whenComplete: (_ step: Int, _ file: String) -> Void = { _, _ in }

  init(
    _ model: any TrainableModel, _ optimizer: Updater, config: CheckpointConfig, folder: RunFolder?, team: RankTeam?
  ) {
    (self.model, self.optimizer, self.config) = (model, optimizer, config)
    (self.folder, self.team) = (folder, team)
  }

  /// Saves the state as it is now, once the checkpoint before it is complete; every rank must call.
  ///
  /// - Returns: the file, which is complete after `finish` at the latest.
  /// - Throws: what writing this one or the one before it threw.
  func save(_ info: CheckpointInfo) throws -> String {
    try finish()
    // Every rank may write a part beside the first one's file.
    let own = folder?.checkpointFile(step: info.step) ?? ""
    let file = team.map { String(decoding: $0.world.broadcast(Array(own.utf8), patiently: true), as: UTF8.self) } ?? own
    let state = TrainingState(model, optimizer)
    let parts = config.shards ? team?.expertRanks ?? 1 : 1
    switch (config.background, parts > 1) {
    case (true, true):
      let (copy, rank) = (state.detached(team), team?.world.rank)
      let save = BackgroundSave(step: info.step) {
        try TrainingCheckpoint.writeParts(copy, of: file, count: parts, rank: rank)
      }
      pending = .part(save, info, copy, file: file)
    case (true, false):
      // The ranks' experts come to the first one, which alone writes.
      let copy = state.copied(team)
      guard folder != nil else { break }
      pending = .file(
        BackgroundSave(step: info.step) { try TrainingCheckpoint.save(info, copy, to: file) }, info)
    case (false, _):
      try TrainingCheckpoint.save(info, state, to: file, team: team, parts: parts)
      try complete(info)
      team?.world.barrier(patiently: true)
    }
    return file
  }

  /// Does what can be done without waiting; every rank must call, once a step.
  ///
  /// - Throws: what writing the checkpoint threw.
  func proceed() throws {
    if case .part(let part, _, _, _) = pending, team?.any(!part.isDone) == true { return }
    try joinParts()
    guard case .file(let file, _) = pending, file.isDone else { return }
    try finishFile()
  }

  /// Waits until nothing is being written; every rank must call.
  ///
  /// - Throws: what writing the checkpoint threw.
  func finish() throws {
    try joinParts()
    try finishFile()
  }

  /// After a failure: what is being written still becomes a checkpoint, unless that needs other ranks, which may not come.
  func finishAlone() {
    if case .part = pending { return }
    try? finishFile()
  }

  /// Once the parts of all ranks are there, the first rank writes the file that they belong to.
  private func joinParts() throws {
    guard case .part(let part, let info, let state, let file) = pending else { return }
    pending = nil
    let parts = TrainingCheckpoint.gather(try part.wait(), team)
    guard folder != nil else { return }
    pending = .file(
      BackgroundSave(step: info.step) { try TrainingCheckpoint.writeOwner(info, state, of: parts, to: file) }, info)
  }

  private func finishFile() throws {
    guard case .file(let file, let info) = pending else { return }
    pending = nil
    try file.wait()
    try complete(info)
  }

  /// Names the best checkpoint and removes old ones.
  private func complete(_ info: CheckpointInfo) throws {
    guard let folder else { return }
    if info.best?.step == info.step { try folder.markBest(step: info.step) }
    folder.prune(keeping: config.keep, every: config.keepEvery, written: info.step)
    whenComplete(info.step, folder.checkpointFile(step: info.step))
  }
}
