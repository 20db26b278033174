<?php

declare(strict_types=1);

namespace Magento\Theme\Model;

class Block
{
    public function __construct(private string $title, private string $text)
    {
    }

    public function render(): string
    {
        return sprintf("<section><h2>%s</h2><p>%s</p></section>\n", htmlspecialchars($this->title), htmlspecialchars($this->text));
    }
}
