"""The refinement as its equations stand, with every S × K × 3H tensor: the oracle."""

import torch
import torch.nn.functional as F

from ptrag.arms.neural import refinement
from ptrag.arms.neural.refinement import EPSILON, TEMPERATURE, GumbelRefinement, Refined


class DirectRefinement(GumbelRefinement):
    """Shares its parameters' names with the factorised form, and nothing of its arithmetic."""

    def forward(self, h, query, candidates, noise=None, keep=None):
        H = h.shape[-1]
        joined = self.join(h, query, candidates)
        c = F.layer_norm(joined, (3 * H,), self.norm.weight, self.norm.bias, EPSILON)
        a = self.score_out(self.drop(F.gelu(self.score_in(c))))
        a = a / (a.std() if self.published else a.flatten(2).std(2)[:, :, None, None])
        if self.training or self.published:
            if noise is None:
                noise = torch.distributions.Gumbel(0.0, 1.0).sample(a.shape).to(a)
                noise = noise[..., 0] - noise[..., 1]
            split = torch.stack([noise, torch.zeros_like(noise)], dim=-1)
            soft = ((a + split) / TEMPERATURE).softmax(-1)
            hard = F.one_hot(soft.argmax(-1), 2).to(soft)
            w = (hard - soft.detach() + soft)[..., 0]
        else:
            w = a.softmax(-1)[..., 0]
        if keep is not None:
            w = w * keep[:, None]
        return Refined((w[..., None] * self.fuse(c)).sum(2), w)

    def join(self, h, query, candidates):
        """[h_s ; g_p ; g_k] of every cell and candidate, (B, S, K, 3H)."""
        B, S, H = h.shape
        K = candidates.shape[1]
        parts = [h[:, :, None], query[:, None, None], candidates[:, None]]
        return torch.cat([part.expand(B, S, K, H) for part in parts], dim=-1)

    def drop(self, y):
        """With the factorised form's mask, so that the two can be compared."""
        if not self.training or self.dropout == 0:
            return y
        mask, share = refinement.dropout_mask(y.shape, self.dropout, y.device)
        return y * mask / share
